// The bytes of a layer as they arrive in the thread that builds the image.
import { fromErrorBody } from "../../lib/errors.ts";
import type { FromBuilder, ToBuilder } from "./protocol.ts";

export class LayerInbox {
  readonly #layer: number;
  readonly #say: (message: FromBuilder) => void;
  readonly #queue: Buffer[] = [];
  #hasEnded = false;
  #failure: Error | undefined;
  #arrived = Promise.withResolvers<void>();

  constructor(layer: number, say: (message: FromBuilder) => void) {
    this.#layer = layer;
    this.#say = say;
  }

  receive(message: Exclude<ToBuilder, { say: "abort" }>): void {
    if (message.say === "chunk") {
      const { buffer, byteOffset, byteLength } = message.bytes;
      this.#queue.push(Buffer.from(buffer, byteOffset, byteLength));
    } else if (message.say === "end") this.#hasEnded = true;
    else this.#failure = fromErrorBody(message.error);
    this.#arrived.resolve();
  }

  /** Asks for the layer and gives its bytes, once. */
  async *chunks(): AsyncGenerator<Buffer> {
    this.#say({ say: "open", layer: this.#layer });
    try {
      for (;;) {
        const chunk = this.#queue.shift();
        if (chunk !== undefined) {
          this.#say({ say: "more", layer: this.#layer });
          yield chunk;
          continue;
        }
        if (this.#failure !== undefined) throw this.#failure;
        if (this.#hasEnded) return;
        await this.#arrived.promise;
        this.#arrived = Promise.withResolvers();
      }
    } finally {
      this.#say({ say: "close", layer: this.#layer });
    }
  }
}
