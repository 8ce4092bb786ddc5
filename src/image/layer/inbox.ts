// The bytes of a layer in the thread that builds the image: read from a file as far as it has grown, or as they arrive.
import { readSync } from "node:fs";
import { BangerError, fromErrorBody } from "../../lib/errors.ts";
import { SharedCount } from "../../lib/shared-count.ts";
import { checked } from "../oci/verify.ts";
import type { FromBuilder, LayerFile, ToBuilder } from "./protocol.ts";

const pieceBytes = 1024 * 1024;
/** Between two looks whether a file has grown. */
const lookIntervalMs = 10;

export class LayerInbox {
  readonly #layer: number;
  readonly #label: string;
  readonly #say: (message: FromBuilder) => void;
  readonly #onBytes: (done: number, total: number) => void;
  readonly #queue: Buffer[] = [];
  #file: LayerFile | undefined;
  #count = new SharedCount();
  /** Bytes of the file that were read. */
  #readBytes = 0;
  #hasEnded = false;
  #failure: Error | undefined;
  #arrived = Promise.withResolvers<void>();

  /** `label` names the layer in errors. */
  constructor(
    layer: number,
    label: string,
    say: (message: FromBuilder) => void,
    onBytes: (done: number, total: number) => void,
  ) {
    this.#layer = layer;
    this.#label = label;
    this.#say = say;
    this.#onBytes = onBytes;
  }

  receive(message: Exclude<ToBuilder, { say: "abort" }>): void {
    if (message.say === "chunk") {
      const { buffer, byteOffset, byteLength } = message.bytes;
      this.#queue.push(Buffer.from(buffer, byteOffset, byteLength));
    } else if (message.say === "file") {
      this.#file = message.file;
      this.#count = new SharedCount(message.file.count);
    } else if (message.say === "end") this.#hasEnded = true;
    else this.#failure = fromErrorBody(message.error);
    this.#arrived.resolve();
  }

  /** Asks for the layer and gives its bytes, once. */
  async *chunks(): AsyncGenerator<Buffer> {
    this.#say({ say: "open", layer: this.#layer });
    try {
      while (this.#isSilent()) await this.#news();
      const check = this.#file?.check;
      if (check === undefined) yield* this.#bytes();
      else yield* checked(this.#bytes(), check, this.#label);
    } catch (error) {
      const isDamaged = error instanceof BangerError && error !== this.#failure && error.code === "image.invalid";
      if (isDamaged) this.#say({ say: "damaged", layer: this.#layer });
      throw error;
    } finally {
      this.#say({ say: "close", layer: this.#layer });
    }
  }

  async *#bytes(): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.#say({ say: "more", layer: this.#layer });
        yield chunk;
      } else if (this.#file !== undefined && this.#readBytes < this.#count.value) yield this.#read(this.#file);
      else if (this.#failure !== undefined) throw this.#failure;
      else if (this.#hasEnded) return;
      else if (this.#file === undefined) await this.#news();
      else await this.#newsOrLook();
    }
  }

  #read({ fd, offset, sizeBytes }: LayerFile): Buffer {
    const piece = Buffer.allocUnsafeSlow(Math.min(pieceBytes, this.#count.value - this.#readBytes));
    const length = readSync(fd, piece, 0, piece.length, offset + this.#readBytes);
    if (length === 0) throw new BangerError("image.invalid", `${this.#label} went away while it was read`);
    this.#readBytes += length;
    this.#onBytes(this.#readBytes, sizeBytes);
    return piece.subarray(0, length);
  }

  #isSilent(): boolean {
    return this.#file === undefined && this.#queue.length === 0 && this.#failure === undefined && !this.#hasEnded;
  }

  async #newsOrLook(): Promise<void> {
    const timer = setTimeout(() => this.#arrived.resolve(), lookIntervalMs);
    await this.#news();
    clearTimeout(timer);
  }

  async #news(): Promise<void> {
    await this.#arrived.promise;
    this.#arrived = Promise.withResolvers();
  }
}
