// Finds the frames in a zstd stream. Node's decoder stops after the first one, and takes a skippable one for the end.
import { TarError } from "./header.ts";

/** A piece of a frame. `ends`: the frame is complete with it. */
export interface FramePiece {
  bytes: Buffer;
  ends: boolean;
}

type Step = "magic" | "skipSize" | "descriptor" | "header" | "block" | "body" | "checksum" | "skip";

const zstdMagic = 0xfd2fb528;
const zstdMagicBytes = Buffer.from("28b52ffd", "hex");

/** Feed it the stream's chunks in order; pieces of skippable frames are left out. */
export class FrameSplitter {
  #step: Step = "magic";
  /** Bytes of the current step that are still to come, and those of a field that came already. */
  #missing = 4;
  #field: number[] = [];
  #isLast = false;
  #hasChecksum = false;

  /** Pieces of frames in a chunk. Throws TarError for what is no zstd stream. */
  *split(chunk: Buffer): Generator<FramePiece> {
    let start = 0;
    for (let at = 0; at < chunk.length;) {
      const step = this.#step;
      const isData = step === "body" || step === "checksum" || step === "skip";
      const taken = isData ? Math.min(this.#missing, chunk.length - at) : 1;
      if (!isData) this.#field.push(chunk[at] ?? 0);
      this.#missing -= taken;
      at += taken;
      if (this.#missing > 0) continue;
      const isComplete = this.#advance();
      const isFrame = step !== "magic" && step !== "skip" && step !== "skipSize";
      if (isComplete && isFrame) yield { bytes: chunk.subarray(start, at), ends: true };
      // Whether a magic number is that of a frame is known only behind it, which may be in the next chunk.
      if (step === "magic" && !this.#isSkipping()) yield { bytes: zstdMagicBytes, ends: false };
      if (isComplete || !isFrame) start = at;
    }
    const isBetween = this.#step === "magic" || this.#isSkipping();
    if (!isBetween && start < chunk.length) yield { bytes: chunk.subarray(start), ends: false };
  }

  #isSkipping(): boolean {
    return this.#step === "skip" || this.#step === "skipSize";
  }

  /** Throws TarError when the stream ended within a frame. */
  end(): void {
    if (this.#step !== "magic" || this.#field.length > 0) throw new TarError("its zstd compression is cut short");
  }

  /** Goes to the next step; true when a frame is complete. */
  #advance(): boolean {
    const value = this.#field.reduceRight((sum, byte) => sum * 256 + byte, 0);
    this.#field = [];
    const next = (step: Step, missing: number) => {
      this.#step = step;
      this.#missing = missing;
      return missing === 0 ? this.#advance() : false;
    };
    switch (this.#step) {
      case "magic":
        if (value === zstdMagic) return next("descriptor", 1);
        if (value >= 0x184d2a50 && value <= 0x184d2a5f) return next("skipSize", 4);
        throw new TarError("its zstd compression is damaged");
      case "skipSize":
        return next("skip", value);
      case "skip":
      case "checksum":
        next("magic", 4);
        return true;
      case "descriptor": {
        this.#hasChecksum = (value & 4) !== 0;
        const isSingle = (value & 0x20) !== 0;
        const dictionary = [0, 1, 2, 4][value & 3] ?? 0;
        const size = [isSingle ? 1 : 0, 2, 4, 8][value >> 6] ?? 0;
        return next("header", (isSingle ? 0 : 1) + dictionary + size);
      }
      case "header":
        return next("block", 3);
      case "block": {
        this.#isLast = (value & 1) !== 0;
        const type = (value >> 1) & 3;
        if (type === 3) throw new TarError("its zstd compression is damaged");
        return next("body", type === 1 ? 1 : value >> 3);
      }
      default:
        return this.#isLast ? next("checksum", this.#hasChecksum ? 4 : 0) : next("block", 3);
    }
  }
}
