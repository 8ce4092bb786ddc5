// A connection into a VM as a byte stream.
import { Duplex, type Writable } from "node:stream";
import { frameType, type Frame } from "../api/frames.ts";
import type { FrameSocket } from "../api/frame-socket.ts";
import type { ParamsOf } from "../api/methods.ts";
import type { Client } from "./client.ts";
import { frameError } from "./exec.ts";
import { connectionLost } from "./transport.ts";

/** Resolves when the connection is made inside the guest. Half-close works both ways; destroying the stream closes all. */
export async function dial(
  client: Client,
  params: ParamsOf<"vm.dial">,
  options: { signal?: AbortSignal } = {},
): Promise<Duplex> {
  const socket = await client.stream("vm.dial", params, options);
  const frames = socket.frames[Symbol.asyncIterator]();
  const first = await frames.next();
  if (first.done === true) {
    options.signal?.throwIfAborted();
    throw connectionLost();
  }
  if (first.value.type === frameType.error) throw frameError(first.value.payload);
  return new Dialled(socket, frames);
}

class Dialled extends Duplex {
  readonly #socket: FrameSocket;
  readonly #frames: AsyncIterator<Frame>;
  readonly #input: Writable;
  #reading = false;
  #ended = false;

  constructor(socket: FrameSocket, frames: AsyncIterator<Frame>) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#frames = frames;
    this.#input = socket.writer(frameType.input, frameType.inputEnd);
  }

  override _read(): void {
    if (!this.#reading) void this.#pull();
  }

  async #pull(): Promise<void> {
    this.#reading = true;
    try {
      for (;;) {
        const next = await this.#frames.next();
        if (next.done === true) {
          if (!this.#ended) this.destroy(connectionLost());
          return;
        }
        const { type, payload } = next.value;
        if (type === frameType.outputEnd) {
          this.#ended = true;
          this.push(null);
        } else if (type === frameType.error) {
          this.destroy(frameError(payload));
          return;
        } else if (type === frameType.output && !this.push(payload)) return;
      }
    } catch (error) {
      this.destroy(error as Error);
    } finally {
      this.#reading = false;
    }
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, callback: () => void): void {
    this.#input.write(chunk, encoding, callback);
  }

  override _final(callback: () => void): void {
    this.#input.end(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket[Symbol.dispose]();
    callback(error);
  }
}
