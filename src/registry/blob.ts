// One blob as a stream that survives cut connections: what is missing is asked for with Range, and a server that is silent,
// drips or lies about ranges is told from one that is slow.
import { Readable } from "node:stream";
import { BangerError } from "../lib/errors.ts";
import { connectionFailure, isPassing, passingFailure, plainWords } from "./failure.ts";
import { readErrorBody, type HttpAnswer } from "./http.ts";
import type { RegistryLimits } from "./limits.ts";
import { pauseBefore } from "./retry.ts";
import { SpentBuffers } from "./spent-buffers.ts";

export interface BlobRequest {
  sizeBytes: number;
  offset: number;
  /** Names the blob in errors. */
  what: string;
  /** Asks for the blob, with a Range header or without; gives an answer of status 200, 206 or 416. */
  ask(headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HttpAnswer>;
  limits: RegistryLimits;
  signal: AbortSignal;
}

/** Bytes after which attempts are counted anew. */
const progressBytes = 256 * 1024;
/** Chunks as they come from the socket, of up to 64 KiB: none is copied to join others. */
const bufferedChunks = 16;

/**
 * Opens a blob: the first answer is there when this returns. Destroying the stream closes the connection. The stream fails with
 * `registry.failed`, `registry.unreachable`, `timeout` or the signal's reason, and never gives more than the size.
 */
export async function openBlob(request: BlobRequest): Promise<Readable> {
  const { offset, sizeBytes, signal, limits, what } = request;
  signal.throwIfAborted();
  if (offset >= sizeBytes) return Readable.from([], { objectMode: false });
  const life = new AbortController();
  const first = await joined(life, signal, () => openPart(request, offset, life.signal));
  const chunks = bytesFrom(request, first, life.signal);
  // Not Readable.from: it waits for the next chunk before it is destroyed, and that chunk may never come.
  const stream = new Readable({
    objectMode: true,
    highWaterMark: bufferedChunks,
    read() {
      chunks.next().then(
        (step) => this.push(step.done === true ? null : step.value),
        (error: unknown) => this.destroy(error as Error),
      );
    },
    destroy(error, callback) {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      life.abort(error ?? new BangerError("cancelled", "cancelled"));
      first.answer.body.destroy();
      chunks.return(undefined).catch(() => {});
      callback(error);
    },
  });
  const onAbort = () => stream.destroy(reasonOf(signal));
  const timer = setTimeout(() => {
    stream.destroy(new BangerError("timeout", `${what} did not come within ${limits.blobTimeoutMs / 1000} s`));
  }, limits.blobTimeoutMs);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  return stream;
}

/** Runs `work` with `life` ended when `signal` is. */
async function joined<T>(life: AbortController, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const onAbort = () => life.abort(reasonOf(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await work();
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new BangerError("cancelled", "cancelled");
}

interface Part {
  answer: HttpAnswer;
  /** Bytes at the start of the body that the reader has already. */
  skipBytes: number;
}

async function* bytesFrom(request: BlobRequest, first: Part, signal: AbortSignal): AsyncGenerator<Buffer> {
  const { sizeBytes, limits, what } = request;
  let at = request.offset;
  let mark = at;
  let failures = 0;
  let { host } = first.answer.url;
  for (let part: Part | undefined = first; ; part = undefined) {
    try {
      part ??= await openPart(request, at, signal);
      host = part.answer.url.host;
      let { skipBytes } = part;
      for await (const chunk of paced(part.answer, limits)) {
        const fresh = chunk.subarray(Math.min(skipBytes, chunk.length));
        skipBytes -= chunk.length - fresh.length;
        if (at + fresh.length > sizeBytes) {
          throw new BangerError("registry.failed", `"${host}" gives more than the ${sizeBytes} bytes of ${what}`);
        }
        at += fresh.length;
        if (fresh.length > 0) yield fresh;
      }
      if (at === sizeBytes) return;
      throw passingFailure(host, `${what} ended after ${at} of ${sizeBytes} bytes`);
    } catch (thrown) {
      if (signal.aborted) throw signal.reason;
      const error = connectionFailure(host, thrown);
      if (!isPassing(error) && !isAway(error)) throw error;
      if (at - mark >= progressBytes) failures = 0;
      mark = at;
      failures++;
      if (failures >= limits.attempts) throw error;
    } finally {
      part?.answer.body.destroy();
    }
    await pauseBefore(limits, failures, signal);
  }
}

/** True for a server that cannot be reached at all. One that has given a part of the blob may be starting again. */
function isAway({ code, details }: BangerError): boolean {
  return (
    code === "registry.unreachable" && /^(?:ECONNREFUSED|EHOSTUNREACH|ENETUNREACH)$/.test(String(details?.["code"]))
  );
}

/** The chunks of a body. Only time of waiting for the server counts, not that of whoever reads. */
async function* paced({ body, url }: HttpAnswer, limits: RegistryLimits): AsyncGenerator<Buffer> {
  const iterator = (body as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  using spent = new SpentBuffers(body);
  let waitedMs = 0;
  let windowBytes = 0;
  for (;;) {
    const startedMs = performance.now();
    const timer = setTimeout(() => {
      body.destroy(passingFailure(url.host, `nothing came for ${limits.idleTimeoutMs / 1000} s`));
    }, limits.idleTimeoutMs);
    let step: IteratorResult<Buffer, unknown>;
    try {
      step = await iterator.next();
    } finally {
      clearTimeout(timer);
    }
    if (step.done === true) return;
    spent.look(step.value);
    waitedMs += performance.now() - startedMs;
    windowBytes += step.value.length;
    if (waitedMs >= limits.rateWindowMs) {
      if (windowBytes < limits.slowestBytes) {
        throw passingFailure(url.host, `only ${windowBytes} bytes came in ${Math.round(waitedMs / 1000)} s`);
      }
      waitedMs = 0;
      windowBytes = 0;
    }
    yield step.value;
  }
}

/** Asks for the blob from byte `at`. A server that does not do ranges sends it all, and what is known already is skipped. */
async function openPart(request: BlobRequest, at: number, signal: AbortSignal): Promise<Part> {
  const { what, sizeBytes, limits } = request;
  let answer = await request.ask(at > 0 ? { range: `bytes=${at}-` } : {}, signal);
  if (answer.status === 416 && at > 0) {
    await readErrorBody(answer, limits, signal);
    answer = await request.ask({}, signal);
  }
  const { status, headers, url, body } = answer;
  const refuse = (why: string) => {
    body.destroy();
    return new BangerError("registry.failed", `"${url.host}" does not give ${what} as asked: ${why}`);
  };
  const coding = headers["content-encoding"] ?? "identity";
  if (coding !== "identity") throw refuse(`it is encoded with "${plainWords(coding, 40)}"`);
  if (status === 206) {
    if (at === 0) throw refuse("a part of it came although all was asked for");
    const range = headers["content-range"] ?? "";
    const match = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/.exec(range);
    const [, from, to, total] = match ?? [];
    const fits =
      Number(from) === at &&
      Number(to) >= at &&
      Number(to) < sizeBytes &&
      (total === "*" || Number(total) === sizeBytes);
    if (!fits) throw refuse(`from byte ${at} of ${sizeBytes} was asked for, "${plainWords(range, 60)}" came`);
    return { answer, skipBytes: 0 };
  }
  if (status !== 200) throw refuse(`HTTP status ${status}`);
  const length = headers["content-length"];
  if (length !== undefined && Number(length) !== sizeBytes) {
    throw refuse(`it has ${plainWords(length, 20)} bytes instead of ${sizeBytes}`);
  }
  return { answer, skipBytes: at };
}
