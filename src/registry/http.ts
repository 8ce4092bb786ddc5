// One HTTP request to a registry or to where it points, with redirects followed under rules: no other scheme, few hops,
// addresses checked, and no credentials for another host.
import { request as requestHttp, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { BangerError } from "../lib/errors.ts";
import type { ConnectPolicy } from "./connect.ts";
import { connectionFailure, passingFailure, plainWords } from "./failure.ts";
import type { RegistryLimits } from "./limits.ts";

export interface HttpRequest {
  url: URL;
  method?: "GET" | "POST";
  headers?: Readonly<Record<string, string>>;
  /** Sent only while the host stays the same. */
  authorization?: string | undefined;
  body?: string;
  signal: AbortSignal;
}

/** An answer whose body has not been read. Whoever gets it reads the body to its end or destroys it. */
export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: IncomingMessage;
  /** Where it came from, after redirects. */
  url: URL;
}

const mostRedirects = 5;
const longestLocation = 16 * 1024;
const redirectStatuses = new Set([301, 302, 303, 307, 308]);
const smallBodyBytes = 64 * 1024;

/** Sends a request and follows redirects. Errors: `registry.unreachable`, `registry.failed`, or the signal's reason. */
export async function fetchAnswer(
  policy: ConnectPolicy,
  limits: RegistryLimits,
  request: HttpRequest,
): Promise<HttpAnswer> {
  let { url, authorization } = request;
  for (let hops = 0; ; hops++) {
    const answer = await send(policy, limits, { ...request, url, authorization });
    if (!redirectStatuses.has(answer.status)) return answer;
    // A short body is read, so that the connection can be used again.
    if (Number(answer.headers["content-length"] ?? Number.NaN) <= smallBodyBytes) {
      await readErrorBody(answer, limits, request.signal);
    } else answer.body.destroy();
    const next = redirectTarget(policy, answer);
    if (hops >= mostRedirects) throw redirectRefused(url, next.host, `that is redirect ${hops + 1} in a row`);
    if (request.method === "POST") throw redirectRefused(url, next.host, "what was sent may hold credentials");
    if (next.origin !== url.origin) authorization = undefined;
    url = next;
  }
}

function redirectTarget(policy: ConnectPolicy, { url, headers }: HttpAnswer): URL {
  const { location } = headers;
  const shown = plainWords(location ?? "", 100);
  if (location === undefined || location.length > longestLocation || !URL.canParse(location, url.href)) {
    throw redirectRefused(url, shown, "that is no address");
  }
  const next = new URL(location, url);
  next.hash = "";
  if (next.username !== "" || next.password !== "") throw redirectRefused(url, next.host, "it holds credentials");
  if (next.protocol === "https:") return next;
  if (next.protocol !== "http:") throw redirectRefused(url, shown, "only https is followed");
  if (!policy.mayBePlain(next)) throw redirectRefused(url, next.host, "it is not encrypted");
  return next;
}

function redirectRefused(from: URL, to: string, why: string): BangerError {
  return new BangerError("registry.failed", `"${from.host}" sends on to "${to}": ${why}`, {
    details: { from: from.host, to },
  });
}

async function send(policy: ConnectPolicy, limits: RegistryLimits, request: HttpRequest): Promise<HttpAnswer> {
  const { url, signal } = request;
  signal.throwIfAborted();
  const { agent, lookup } = policy.route(url);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = (url.protocol === "https:" ? requestHttps : requestHttp)(url, {
    method: request.method ?? "GET",
    agent,
    lookup,
    headers: {
      ...request.headers,
      "user-agent": "banger",
      "accept-encoding": "identity",
      ...(request.authorization === undefined ? {} : { authorization: request.authorization }),
    },
    maxHeaderSize: 64 * 1024,
  });
  // The signal ends the body too: it is listened to until the connection has done its work.
  const onAbort = () => outgoing.destroy(abortReason(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  outgoing.once("close", () => {
    signal.removeEventListener("abort", onAbort);
    // Not every end of a connection is an error to the HTTP client.
    reject(passingFailure(url.host, "the connection was closed without an answer"));
  });
  const timer = setTimeout(() => {
    outgoing.destroy(passingFailure(url.host, `no answer within ${limits.answerTimeoutMs / 1000} s`));
  }, limits.answerTimeoutMs);
  outgoing.on("error", reject);
  outgoing.once("response", resolve);
  outgoing.once("upgrade", (_response, socket) => {
    socket.destroy();
    reject(new BangerError("registry.failed", `"${url.host}" wants to speak another protocol`));
  });
  outgoing.end(request.body);
  try {
    const body = await promise;
    policy.answered(url, body.socket.remoteAddress);
    // Its errors reach whoever reads it; without a reader they must not end the process.
    body.on("error", () => {});
    return { status: body.statusCode ?? 0, headers: body.headers, body, url };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw connectionFailure(url.host, error);
  } finally {
    clearTimeout(timer);
  }
}

function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new BangerError("cancelled", "cancelled");
}

/**
 * The whole body, when it is not longer than `mostBytes`. Errors: `registry.failed` for a longer one, those of connections,
 * and the time-out of documents.
 */
export async function readBody(
  { body, url }: HttpAnswer,
  mostBytes: number,
  limits: RegistryLimits,
  signal: AbortSignal,
): Promise<Buffer> {
  const tooLong = () =>
    new BangerError("registry.failed", `"${url.host}" answers with a document of more than ${mostBytes} bytes`);
  const timer = setTimeout(() => {
    body.destroy(passingFailure(url.host, `the answer did not end within ${limits.documentTimeoutMs / 1000} s`));
  }, limits.documentTimeoutMs);
  try {
    if (Number(body.headers["content-length"] ?? 0) > mostBytes) throw tooLong();
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > mostBytes) throw tooLong();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw connectionFailure(url.host, error);
  } finally {
    clearTimeout(timer);
    body.destroy();
  }
}

/** The body of an answer that is an error: its beginning, or nothing when it cannot be read. */
export async function readErrorBody(answer: HttpAnswer, limits: RegistryLimits, signal: AbortSignal): Promise<Buffer> {
  try {
    return await readBody(answer, smallBodyBytes, limits, signal);
  } catch {
    signal.throwIfAborted();
    return Buffer.alloc(0);
  }
}
