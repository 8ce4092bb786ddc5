// A server between a client and a registry: says which content was asked for and how much of it has passed, and can slow it down.
import { once } from "node:events";
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";

export interface BlobRequest {
  digest: string;
  /** First byte that was asked for. */
  offset: number;
}

export class RegistryTap implements AsyncDisposable {
  /** Blobs that were asked for since the last `forget`. */
  blobs: BlobRequest[] = [];
  /** Bytes of blobs that have passed since the last `forget`. */
  passedBytes = 0;
  /** Of all connections together. */
  bytesPerSecond = Number.POSITIVE_INFINITY;
  readonly #upstream: string;
  readonly #server = createServer((asked, answer) => void this.#forward(asked, answer));
  #freeAt = 0;
  #onPassed = () => {};

  private constructor(upstream: string) {
    this.#upstream = upstream;
  }

  /** `upstream` is "host:port" of a server without TLS. */
  static async start(upstream: string): Promise<RegistryTap> {
    const tap = new RegistryTap(upstream);
    tap.#server.listen(0, "127.0.0.1");
    await once(tap.#server, "listening");
    return tap;
  }

  /** "127.0.0.1:<port>" */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  forget(): void {
    this.blobs = [];
    this.passedBytes = 0;
  }

  /** Resolves when so many bytes of blobs have passed since the last `forget`; the signal ends the wait without an error. */
  async passed(bytes: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve(), { once: true });
    this.#onPassed = () => this.passedBytes >= bytes && resolve();
    this.#onPassed();
    await promise;
    this.#onPassed = () => {};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #forward(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method, headers, url: path } = asked;
    const digest = method === "GET" ? /\/blobs\/([\w-]+:[0-9a-f]+)/.exec(path ?? "")?.[1] : undefined;
    if (digest !== undefined) {
      this.blobs.push({ digest, offset: Number(/^bytes=(\d+)-/.exec(headers.range ?? "")?.[1] ?? 0) });
    }
    const [host, port] = this.#upstream.split(":");
    const further = request({ host, port, method, headers, path, agent: false });
    answer.once("close", () => further.destroy());
    try {
      asked.pipe(further);
      const [got] = (await once(further, "response")) as [IncomingMessage];
      answer.writeHead(got.statusCode ?? 502, got.headers);
      if (digest === undefined) await pipeline(got, answer);
      else await pipeline(got, (pieces: AsyncIterable<Buffer>) => this.#counted(pieces), answer);
    } catch {
      // The client went away, or the registry: the other side shall see it.
      answer.destroy();
    }
  }

  async *#counted(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of pieces) {
      await this.#slow(piece.length);
      yield piece;
      this.passedBytes += piece.length;
      this.#onPassed();
    }
  }

  async #slow(bytes: number): Promise<void> {
    const now = performance.now();
    this.#freeAt = Math.max(this.#freeAt, now) + (bytes / this.bytesPerSecond) * 1000;
    if (this.#freeAt - now > 2) await delay(this.#freeAt - now);
  }
}
