// The bitmaps that say which blocks and inodes of an image are in use.
import { blockBytes } from "./block-output.ts";
import { crc32c } from "./crc32c.ts";

/** One bitmap block for each group; bits past the end of the image, or of the group's inodes, are set. */
export class Bitmaps {
  readonly bytes: Buffer;
  readonly #perGroup: number;

  constructor(groups: number, perGroup: number, total: number) {
    this.bytes = Buffer.alloc(groups * blockBytes);
    this.#perGroup = perGroup;
    for (let group = 0; group < groups; group++) {
      const valid = Math.max(0, Math.min(perGroup, total - group * perGroup));
      this.#setBits(group * blockBytes * 8 + valid, blockBytes * 8 - valid);
    }
  }

  /** Sets the bits of the items `first` and following, counted over all groups. */
  set(first: number, count: number): void {
    for (let done = 0; done < count;) {
      const group = Math.floor((first + done) / this.#perGroup);
      const within = (first + done) % this.#perGroup;
      const here = Math.min(count - done, this.#perGroup - within);
      this.#setBits(group * blockBytes * 8 + within, here);
      done += here;
    }
  }

  /** Number of bits that are not set in a group. */
  free(group: number): number {
    let free = 0;
    for (const byte of this.bytes.subarray(group * blockBytes, (group + 1) * blockBytes)) {
      for (let bits = ~byte & 0xff; bits !== 0; bits &= bits - 1) free++;
    }
    return free;
  }

  /** Checksum of a group's bitmap; `seed` is what it starts from. */
  sum(group: number, seed: number): number {
    const start = group * blockBytes;
    return crc32c(seed, this.bytes, start, start + this.#perGroup / 8);
  }

  #setBits(first: number, count: number): void {
    let bit = first;
    const end = first + count;
    while (bit < end) {
      if ((bit & 7) === 0 && end - bit >= 8) {
        const whole = (end - bit) >> 3;
        this.bytes.fill(0xff, bit >> 3, (bit >> 3) + whole);
        bit += whole * 8;
      } else {
        this.bytes[bit >> 3] = (this.bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
        bit++;
      }
    }
  }
}
