// The HTTP server on the daemon's socket: listening, limits, and connections that do not speak HTTP.
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import { once } from "node:events";
import { socketAddress } from "../config/paths.ts";
import { BangerError } from "../lib/errors.ts";
import { newOperationId } from "../lib/ids.ts";
import { rawError, type Dispatcher } from "./dispatch.ts";
import { maxParamsBytes } from "./request.ts";
import { errorReply } from "./response.ts";

/** Room for base64url of the longest parameters and the other headers. */
const maxHeaderBytes = Math.ceil(maxParamsBytes * 1.4) + 16 * 1024;
const headersTimeoutMs = 10_000;
const maxConnections = 1024;

export interface DaemonServer extends AsyncDisposable {
  /** Takes no more connections and removes the socket. Calls that are under way go on. Idempotent. */
  stopListening(): void;
}

/**
 * Listens on `socketPath` (0600). A socket that is in the way belongs to a daemon that is gone: the caller holds the lock.
 * Dispose ends every connection.
 */
export async function listen(socketPath: string, dispatcher: Dispatcher): Promise<DaemonServer> {
  const server = createServer({
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headersTimeoutMs,
    // Bodies of uploads take as long as they take; bodies of parameters have their own limit.
    requestTimeout: 0,
    noDelay: true,
  });
  server.maxConnections = maxConnections;
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("request", (request, response) => void dispatcher.request(request, response));
  server.on("checkContinue", (request, response) => void dispatcher.request(request, response));
  server.on("upgrade", (request, socket, head) => void dispatcher.upgrade(request, socket, head));
  server.on("clientError", refuse);

  const address = socketAddress(socketPath);
  rmSync(socketPath, { force: true });
  server.listen(address.address);
  try {
    await once(server, "listening");
  } catch (error) {
    address[Symbol.dispose]();
    throw new BangerError("daemon.start-failed", `the daemon cannot listen on "${socketPath}"`, { cause: error });
  }
  chmodSync(socketPath, 0o600);
  return new Listening(server, sockets, address);
}

class Listening implements DaemonServer {
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  readonly #address: Disposable;
  #closed: Promise<void> | undefined;

  constructor(server: Server, sockets: Set<Socket>, address: Disposable) {
    this.#server = server;
    this.#sockets = sockets;
    this.#address = address;
  }

  stopListening(): void {
    if (this.#closed !== undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closed = promise;
    // Node removes the socket file by the name that it was bound with.
    this.#server.close(() => resolve());
    this.#address[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopListening();
    for (const socket of this.#sockets) socket.destroy();
    await this.#closed;
  }
}

const refused = new WeakSet<object>();
/** Time for a client to read why it was refused. */
const lingerMs = 2000;

/** A connection whose bytes are not HTTP, or too many, or too late. What it still sends is dropped until it has read the answer. */
function refuse(
  error: NodeJS.ErrnoException,
  socket: NodeJS.WritableStream & { writable: boolean; destroy(): void },
): void {
  if (refused.has(socket)) return;
  refused.add(socket);
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const id = newOperationId();
  socket.end(rawError(errorReply(explain(error), id), id));
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once("close", () => clearTimeout(timer));
}

function explain(error: NodeJS.ErrnoException): BangerError {
  if (error.code === "HPE_HEADER_OVERFLOW") {
    return new BangerError("request.too-large", `the headers are longer than ${maxHeaderBytes} bytes`);
  }
  if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new BangerError("timeout", `the headers did not arrive within ${headersTimeoutMs / 1000} s`);
  }
  return new BangerError("request.invalid", `this is not an HTTP request: ${error.message}`);
}
