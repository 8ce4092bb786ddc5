// One end of an upgraded stream: frames in, in order and only as fast as they are taken; frames out with the socket's own flow control.
import { Writable, type Duplex } from "node:stream";
import { encodeFrame, encodeJsonFrame, FrameDecoder, type Frame } from "./frames.ts";

const pieceBytes = 64 * 1024;
const lingerMs = 2000;

/** Owns the socket: it is destroyed on dispose. */
export class FrameSocket implements Disposable {
  /** Frames of the peer; ends when the peer has gone. Take it once. Throws when the peer breaks the format. */
  readonly frames: AsyncIterable<Frame>;
  /** Resolves when the socket is closed, whoever did it. Never rejects. */
  readonly closed: Promise<void>;
  readonly #socket: Duplex;

  /** `head`: bytes that came with the upgrade. */
  constructor(socket: Duplex, head: Uint8Array = Buffer.alloc(0)) {
    this.#socket = socket;
    const decoder = new FrameDecoder();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    // A broken connection is the end of the frames: what it means is for the reader to say.
    socket.on("error", () => {});
    socket.once("close", () => {
      resolve();
      if (!decoder.writableEnded) decoder.end();
    });
    // The reader of the frames gets the error; the socket stays open, so that it can be told to the peer.
    decoder.on("error", () => {});
    if (head.length > 0) socket.unshift(Buffer.from(head));
    socket.pipe(decoder);
    this.frames = {
      [Symbol.asyncIterator]: () => decoder.iterator({ destroyOnReturn: false }) as AsyncIterator<Frame>,
    };
  }

  /** Sends one frame. Resolves when the kernel has taken it, also when the peer is gone. */
  async send(type: number, payload?: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#write(encodeFrame(type, payload), resolve);
    await promise;
  }

  /** The same with a JSON payload. */
  sendJson(type: number, value: unknown): void {
    this.#write(encodeJsonFrame(type, value), () => {});
  }

  /** A byte stream whose chunks go out as frames of one type. Its end sends `endType` when given; it never ends the socket. */
  writer(type: number, endType?: number): Writable {
    return new Writable({
      write: (chunk: Buffer, _encoding, callback) => {
        for (let at = 0; at < chunk.length; at += pieceBytes) {
          const last = at + pieceBytes >= chunk.length;
          this.#write(encodeFrame(type, chunk.subarray(at, at + pieceBytes)), last ? callback : () => {});
        }
        if (chunk.length === 0) callback();
      },
      final: (callback) => {
        if (endType === undefined) callback();
        else this.#write(encodeFrame(endType), callback);
      },
    });
  }

  /** Sends what is queued, then closes. What the peer still sends is dropped; one that does not close its side is cut off. */
  end(): void {
    this.#socket.end();
    this.#socket.unpipe();
    this.#socket.resume();
    const timer = setTimeout(() => this.#socket.destroy(), lingerMs);
    timer.unref();
    void this.closed.then(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #write(frame: Buffer, done: () => void): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) done();
    else this.#socket.write(frame, () => done());
  }
}
