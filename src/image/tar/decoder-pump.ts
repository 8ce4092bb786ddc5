// Drives one of zlib's decoders: what goes in is decoded in the thread pool while the caller uses what has come out.
import type { Gunzip, ZstdDecompress } from "node:zlib";

/** What decoders are made with: whole chunks, not a few of them copied into one, and enough that decoding goes on meanwhile. */
export const pumpedOptions = { chunkSize: 1024 * 1024, readableObjectMode: true, readableHighWaterMark: 3 };

export class DecoderPump {
  readonly #decoder: Gunzip | ZstdDecompress;
  #failure: Error | undefined;
  #changed = Promise.withResolvers<void>();
  #untaken = 0;

  /** The decoder is the pump's: `destroy` ends it. */
  constructor(decoder: Gunzip | ZstdDecompress) {
    this.#decoder = decoder;
    const change = () => this.#changed.resolve();
    decoder.on("readable", change);
    decoder.on("end", change);
    decoder.on("error", (error) => {
      this.#failure = error;
      change();
    });
  }

  /**
   * Gives bytes to the decoder, and returns what has come out meanwhile. Up to `ahead` writes are not waited for: `taken` is
   * called when the decoder has no use for the bytes any more. What follows the end of what is compressed is passed over.
   */
  async *write(bytes: Buffer, ahead = 0, taken: () => void = () => {}): AsyncGenerator<Buffer> {
    if (this.#decoder.readableEnded) return;
    this.#untaken++;
    this.#decoder.write(bytes, (error) => {
      this.#untaken--;
      if (error === null || error === undefined) taken();
      this.#changed.resolve();
    });
    for (yield* this.#ready(); this.#isBehind(ahead); yield* this.#ready()) await this.#change();
  }

  /** What is left. */
  async *end(): AsyncGenerator<Buffer> {
    this.#decoder.end();
    for (yield* this.#ready(); !this.#decoder.readableEnded; yield* this.#ready()) await this.#change();
  }

  destroy(): void {
    this.#decoder.destroy();
  }

  /** A decoder that has come to its end calls nobody back. */
  #isBehind(ahead: number): boolean {
    return this.#untaken > ahead && !this.#decoder.readableEnded;
  }

  async #change(): Promise<void> {
    await this.#changed.promise;
    this.#changed = Promise.withResolvers();
  }

  *#ready(): Generator<Buffer> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const piece = this.#decoder.read() as Buffer | null;
      if (piece === null) return;
      yield piece;
    }
  }
}
