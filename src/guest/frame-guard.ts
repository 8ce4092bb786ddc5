// Stands between a guest's channel and the HTTP/2 library and counts frames: a guest cannot keep the daemon busy with
// frames that carry no data (SETTINGS, PING, empty DATA, ...) or announce a frame larger than agreed.
//
// Measured (unix socket, 64 KiB frames, 2 busy cores): 1.3 GB/s in and 0.7 GB/s out with it, 1.8 and 1.7 without, where
// Node reads the socket natively; a virtio-serial port is slower than either.
import { Duplex } from "node:stream";
import { BangerError } from "../lib/errors.ts";

const headerBytes = 9;
const frameData = 0;
const frameSettings = 4;
const framePing = 6;
const flagEndStream = 1;
const flagPadded = 8;

/** Frames without data that a guest may send at once, and per second: far above what a busy honest agent needs. */
const creditLimit = 50_000;
const creditsPerSecond = 5_000;
/** A window update of an honest guest answers bytes that we sent. */
const sentBytesPerCredit = 512;
const costlyFrameCredits = 100;

export interface FrameGuardOptions {
  /** The SETTINGS_MAX_FRAME_SIZE that was announced to the guest. */
  maxFrameBytes: number;
}

/** Owns `channel`: it is destroyed with this stream. Fails with `guest.protocol` when the guest breaks a limit. */
export class FrameGuard extends Duplex {
  readonly #channel: Duplex;
  readonly #maxFrameBytes: number;
  readonly #header = Buffer.alloc(headerBytes);
  #headerLength = 0;
  #payloadLeft = 0;
  #credits = creditLimit;
  #creditedAt = performance.now();

  constructor(channel: Duplex, options: FrameGuardOptions) {
    super({ allowHalfOpen: false });
    this.#channel = channel;
    this.#maxFrameBytes = options.maxFrameBytes;
    channel.on("data", (chunk: Buffer) => this.#receive(chunk));
    channel.on("end", () => this.push(null));
    channel.on("error", (error) => this.destroy(error));
    channel.on("close", () => this.destroy());
    channel.pause();
  }

  override _read(): void {
    this.#channel.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#credit(chunk.length / sentBytesPerCredit);
    this.#channel.write(chunk, done);
  }

  /** What comes together goes out together: each write to a guest is an interrupt there. */
  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#channel.cork();
    for (const [at, { chunk }] of chunks.entries()) {
      if (at === chunks.length - 1) this._write(chunk, "buffer" as BufferEncoding, done);
      else this._write(chunk, "buffer" as BufferEncoding, () => {});
    }
    this.#channel.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#channel.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#channel.destroy();
    done(error);
  }

  #receive(chunk: Buffer): void {
    if (this.destroyed) return;
    const violation = this.#count(chunk);
    if (violation !== undefined) {
      this.destroy(new BangerError("guest.protocol", `the guest broke the protocol: ${violation}`));
      return;
    }
    if (!this.push(chunk)) this.#channel.pause();
  }

  /** Walks over the frames of a chunk; returns what is wrong with them. */
  #count(chunk: Buffer): string | undefined {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#payloadLeft > 0) {
        const skipped = Math.min(this.#payloadLeft, chunk.length - offset);
        this.#payloadLeft -= skipped;
        offset += skipped;
        continue;
      }
      const copied = chunk.copy(this.#header, this.#headerLength, offset, offset + headerBytes - this.#headerLength);
      this.#headerLength += copied;
      offset += copied;
      if (this.#headerLength < headerBytes) break;
      this.#headerLength = 0;
      this.#payloadLeft = this.#header.readUIntBE(0, 3);
      if (this.#payloadLeft > this.#maxFrameBytes) return `a frame of ${this.#payloadLeft} bytes`;
      this.#credits -= this.#cost();
    }
    if (this.#credits < 0) {
      this.#credit(0);
      if (this.#credits < 0) return "a flood of frames without data";
    }
    return undefined;
  }

  #cost(): number {
    const type = this.#header.readUInt8(3);
    const flags = this.#header.readUInt8(4);
    if (type === frameData) {
      const useful = (this.#payloadLeft > 0 && (flags & flagPadded) === 0) || (flags & flagEndStream) !== 0;
      return useful ? 0 : 1;
    }
    return type === framePing || type === frameSettings ? costlyFrameCredits : 1;
  }

  #credit(more: number): void {
    const now = performance.now();
    const earned = ((now - this.#creditedAt) / 1000) * creditsPerSecond;
    this.#creditedAt = now;
    this.#credits = Math.min(creditLimit, this.#credits + earned + more);
  }
}
