// One HTTP request on the daemon's socket. Knows nothing of starting daemons or of versions.
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { socketAddress } from "../config/paths.ts";
import { BangerError, fromErrorBody, type ErrorBody } from "../lib/errors.ts";

/** Keeps Node from working out a name for TLS, which takes it milliseconds at the first call. */
const noServerName = { servername: "" };

/** Longest reply that is not a stream, and longest event line. */
const maxReplyBytes = 64 * 1024 * 1024;

export interface Request {
  name: string;
  headers: Record<string, string>;
  /** JSON text of the parameters; absent when they travel in a header. */
  body?: string;
  /** Sent as the body. */
  upload?: Readable;
  signal?: AbortSignal | undefined;
}

/** True for the failure to connect because no daemon listens; then nothing was sent. */
export function isNotThere(error: unknown): boolean {
  return error instanceof BangerError && error.code === "daemon.unreachable" && error.details?.["notThere"] === true;
}

/** True when the daemon went away after the connection was made. */
export function isLost(error: unknown): boolean {
  return error instanceof BangerError && error.code === "daemon.unreachable" && error.details?.["lost"] === true;
}

/**
 * True when it had not begun with the request by then. A daemon that is killed still takes connections until the kernel has ended its
 * last thread; what waits there is never read.
 */
export function isNotBegun(error: unknown): boolean {
  return isLost(error) && (error as BangerError).details?.["begun"] === false;
}

/**
 * Sends a request; resolves with the head of a good reply. Throws what the daemon answered, `daemon.unreachable`, or the signal's reason.
 * With the header `expect: 100-continue` the body waits until the daemon takes it, so that it is known whether it has begun.
 */
export async function send(socketPath: string, request: Request): Promise<IncomingMessage> {
  const outcome = Promise.withResolvers<IncomingMessage>();
  const sent = open(socketPath, request, outcome.reject);
  sent.on("response", outcome.resolve);
  const { upload } = request;
  upload?.once("error", (error) => sent.destroy(error));
  const sendBody = () => (upload === undefined ? sent.end(request.body ?? "") : upload.pipe(sent));
  if (request.headers["expect"] === undefined) sendBody();
  else {
    sent.flushHeaders();
    sent.once("continue", sendBody);
  }
  if (upload !== undefined) sent.once("close", () => upload.unpipe(sent));
  const message = await outcome.promise;
  if (message.statusCode === 200) return message;
  try {
    throw await errorOf(message);
  } finally {
    // What was not sent yet of an upload is not wanted any more.
    sent.destroy();
  }
}

/** The JSON of a good reply. */
export async function readJson(message: IncomingMessage, signal?: AbortSignal): Promise<unknown> {
  return JSON.parse(await readText(message, signal));
}

/** Throws what stands in the trailer of a reply that has ended, or `daemon.unreachable` when it ended too early. */
export function checkEnd(message: IncomingMessage): void {
  const trailer = message.trailers["banger-error"];
  if (trailer !== undefined) {
    throw fromErrorBody(JSON.parse(Buffer.from(trailer, "base64url").toString()) as ErrorBody);
  }
  if (!message.complete) throw connectionLost();
}

/** The lines of an NDJSON reply. Throws as checkEnd does. Leaving the loop closes the connection. */
export async function* readLines(message: IncomingMessage, signal?: AbortSignal): AsyncGenerator<string> {
  let rest = "";
  message.setEncoding("utf8");
  for await (const text of pieces(message, signal)) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > maxReplyBytes) throw new BangerError("internal", "the daemon sent an endless line");
    yield* lines;
  }
}

/** The chunks of a reply whose end is checked. `signal` is the one that the request was sent with. */
export async function* pieces(message: IncomingMessage, signal?: AbortSignal): AsyncGenerator<Buffer | string> {
  try {
    for await (const chunk of message as AsyncIterable<Buffer | string>) yield chunk;
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof BangerError ? error : connectionLost(error);
  }
  checkEnd(message);
}

function open(socketPath: string, request: Request, fail: (error: unknown) => void): ClientRequest {
  request.signal?.throwIfAborted();
  const address = addressOf(socketPath);
  // Loaded at the first use: a command that only opens a stream does without it.
  const sent = process.getBuiltinModule("node:http").request({
    socketPath: address.address,
    path: `/v1/${request.name}`,
    method: "POST",
    agent: false,
    ...noServerName,
    headers: request.headers,
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  });
  let connected = false;
  let begun = request.headers["expect"] === undefined;
  sent.once("continue", () => (begun = true));
  sent.once("socket", (socket) => {
    // The name is needed until the kernel has looked it up.
    socket.once("connect", () => (connected = true));
    socket.once("connect", () => address[Symbol.dispose]());
    socket.once("error", () => connected || address[Symbol.dispose]());
  });
  sent.on("error", (error: NodeJS.ErrnoException) => {
    if (request.signal?.aborted === true) fail(request.signal.reason);
    else if (error instanceof BangerError) fail(error);
    else fail(connected ? connectionLost(error, begun) : notConnected(socketPath, error));
  });
  return sent;
}

/** The name to connect to; the caller disposes it. Throws `daemon.unreachable` when not even the directory is there. */
export function addressOf(socketPath: string): ReturnType<typeof socketAddress> {
  try {
    return socketAddress(socketPath);
  } catch (error) {
    throw notConnected(socketPath, error as NodeJS.ErrnoException);
  }
}

/** The error of a connection that was not made; `details.notThere` says that no daemon listens. */
export function notConnected(socketPath: string, error: NodeJS.ErrnoException): BangerError {
  // ECONNRESET: the daemon ended before it took the connection.
  const notThere = ["ENOENT", "ECONNREFUSED", "ECONNRESET"].includes(error.code ?? "");
  return new BangerError(
    "daemon.unreachable",
    notThere
      ? `no daemon listens on "${socketPath}"`
      : `cannot connect to the daemon on "${socketPath}": ${error.message}`,
    {
      cause: error,
      hint: error.code === "EACCES" ? `ls -l ${socketPath}` : "banger doctor",
      details: { notThere },
    },
  );
}

/** The daemon went away in the middle of a call. `begun`: it may have done some of it. */
export function connectionLost(cause?: unknown, begun = true): BangerError {
  return new BangerError("daemon.unreachable", "the connection to the daemon was lost", {
    cause,
    hint: "banger daemon status",
    details: { lost: true, begun },
  });
}

async function errorOf(message: IncomingMessage): Promise<BangerError> {
  return replyError(message.statusCode ?? 0, await readText(message));
}

/** What the daemon said in place of a good reply. */
export function replyError(status: number, text: string): BangerError {
  try {
    const body = JSON.parse(text) as ErrorBody;
    if (typeof body.code === "string" && typeof body.message === "string") return fromErrorBody(body);
  } catch {
    // Told below.
  }
  return new BangerError("internal", `the daemon answered ${status}: ${text.slice(0, 200)}`);
}

async function readText(message: IncomingMessage, signal?: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of pieces(message, signal)) {
    chunks.push(chunk as Buffer);
    size += chunk.length;
    if (size > maxReplyBytes) throw new BangerError("internal", "the daemon's reply is too long");
  }
  return Buffer.concat(chunks).toString("utf8");
}
