// A request on the daemon's socket that turns the connection into a stream. Written by hand: Node's HTTP client takes longer to
// load than a short command takes in a VM, and all it would do here is read one head.
import { connect, type Socket } from "node:net";
import { BangerError } from "../lib/errors.ts";
import { addressOf, connectionLost, notConnected, replyError } from "./transport.ts";

/** Longest head, and longest error, that is read. */
const maxReplyBytes = 1024 * 1024;
const headEnd = "\r\n\r\n";

export interface UpgradeRequest {
  name: string;
  /** Values without line breaks. */
  headers: Readonly<Record<string, string>>;
  /** An abort destroys the connection, until the promise has resolved. */
  signal?: AbortSignal;
}

/**
 * Resolves with the connection, which the caller owns, and the stream's bytes that came with the reply.
 * Throws what the daemon answered, `daemon.unreachable`, or the signal's reason.
 */
export async function sendUpgrade(
  socketPath: string,
  { name, headers, signal }: UpgradeRequest,
): Promise<{ socket: Socket; head: Buffer }> {
  signal?.throwIfAborted();
  const socket = await connected(socketPath);
  const onAbort = () => socket.destroy();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const lines = Object.entries({ ...headers, host: "banger", connection: "Upgrade", upgrade: "banger-stream" });
    socket.write(
      `POST /v1/${name} HTTP/1.1\r\n${lines.map(([key, value]) => `${key}: ${value}`).join("\r\n")}${headEnd}`,
    );
    const { status, rest } = await readHead(socket).catch((error: unknown) => {
      // The daemon says 101 before it begins.
      throw connectionLost(error, false);
    });
    signal?.throwIfAborted();
    if (status === 101) return { socket, head: rest };
    throw replyError(status, await readToEnd(socket, rest));
  } catch (error) {
    socket.destroy();
    signal?.throwIfAborted();
    throw error instanceof BangerError ? error : connectionLost(error);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

async function connected(socketPath: string): Promise<Socket> {
  // The name is needed until the kernel has looked it up.
  using address = addressOf(socketPath);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect(address.address);
  // Every read says what is wrong; an error in between must not end the process.
  socket.on("error", () => {});
  socket.once("connect", resolve).once("error", reject);
  try {
    await promise;
    return socket;
  } catch (error) {
    throw notConnected(socketPath, error as NodeJS.ErrnoException);
  } finally {
    socket.off("connect", resolve).off("error", reject);
  }
}

/** The status of the reply, and what came behind its head. The socket is paused. */
async function readHead(socket: Socket): Promise<{ status: number; rest: Buffer }> {
  let read: Buffer = Buffer.alloc(0);
  for (;;) {
    const chunk = await nextChunk(socket);
    if (chunk === undefined) throw new Error("the connection ended before its reply");
    if (read.length > maxReplyBytes) throw new Error("the head of the reply is too long");
    read = Buffer.concat([read, chunk]);
    const end = read.indexOf(headEnd);
    if (end < 0) continue;
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(read.toString("latin1", 0, 16))?.[1] ?? 0);
    return { status, rest: read.subarray(end + headEnd.length) };
  }
}

/** The body of a reply whose end is the end of the connection. */
async function readToEnd(socket: Socket, begin: Buffer): Promise<string> {
  const chunks = [begin];
  let size = begin.length;
  for (let chunk = await nextChunk(socket); chunk !== undefined; chunk = await nextChunk(socket)) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > maxReplyBytes) throw connectionLost();
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Undefined at the end. Throws the socket's error. */
async function nextChunk(socket: Socket): Promise<Buffer | undefined> {
  for (;;) {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) return chunk;
    if (socket.readableEnded || socket.destroyed) {
      if (socket.errored) throw socket.errored;
      return undefined;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    for (const event of ["readable", "end", "close", "error"]) socket.once(event, wake);
    await promise;
    for (const event of ["readable", "end", "close", "error"]) socket.off(event, wake);
  }
}
