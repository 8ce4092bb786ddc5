// Gives back what a socket has read for an HTTP answer: its parser copies the body out of it, and left to the garbage collector
// the rest costs a collection for every few dozen megabytes, each of which stops the daemon.
import type { IncomingMessage } from "node:http";
import { discardAlone } from "../lib/discard.ts";

/** Chunks of the body that have to be copies, seen to be so, before anything is given back. */
const provingChunks = 8;

export class SpentBuffers implements Disposable {
  readonly #socket: IncomingMessage["socket"];
  readonly #read = new WeakSet<ArrayBufferLike>();
  #seen = 0;

  /** To be disposed when the body has ended: the socket may serve other requests then. */
  constructor(body: IncomingMessage) {
    this.#socket = body.socket;
    // After the parser's own listener, so it is done with the data.
    this.#socket.on("data", this.#onData);
  }

  readonly #onData = (data: Buffer): void => {
    if (this.#seen === provingChunks) discardAlone(data);
    else this.#read.add(data.buffer);
  };

  /** To be told of each chunk of the body. */
  look(chunk: Buffer): void {
    if (this.#seen === provingChunks) return;
    // A parser that does not copy would lose the body.
    this.#seen = this.#read.has(chunk.buffer) ? Number.NEGATIVE_INFINITY : this.#seen + 1;
  }

  [Symbol.dispose](): void {
    this.#socket.off("data", this.#onData);
  }
}
