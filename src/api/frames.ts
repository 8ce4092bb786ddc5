// Frames of an upgraded stream (vm.exec, vm.dial): one type byte, four length bytes (big endian), payload.
// Flow control is the socket's own: a slow reader blocks the writer.
import { Transform, type TransformCallback } from "node:stream";
import { BangerError } from "../lib/errors.ts";

export const frameType = {
  /** Bytes for stdin, or of the dialled connection, client to daemon. */
  input: 0,
  /** stdout, or bytes of the dialled connection, daemon to client. */
  output: 1,
  errorOutput: 2,
  /** No more input / output: half-close. */
  inputEnd: 3,
  outputEnd: 4,
  /** JSON {columns, rows}. */
  resize: 5,
  /** JSON {signal: number}. */
  signal: 6,
  /** The process runs, or the connection is made. Empty. */
  started: 7,
  /** JSON {code, signal}; the last frame of an exec. */
  exit: 8,
  /** JSON ErrorBody; the last frame. */
  error: 9,
  /** Four bytes (big endian): so many more bytes of input were taken by the process. Daemon to client, exec only. */
  inputTaken: 10,
} as const;

/**
 * Bytes of input that a client may send ahead of inputTaken. So frames that are not input (resize, signal) never wait behind a
 * process that does not read its stdin.
 */
export const inputWindowBytes = 256 * 1024;

export interface Frame {
  type: number;
  payload: Buffer;
}

/** Longest payload that is accepted. Data is sent in pieces of at most 64 KiB. */
export const maxFrameBytes = 1024 * 1024;

export function encodeFrame(type: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const frame = Buffer.allocUnsafe(5 + payload.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(payload.length, 1);
  frame.set(payload, 5);
  return frame;
}

export function encodeJsonFrame(type: number, value: unknown): Buffer {
  return encodeFrame(type, Buffer.from(JSON.stringify(value)));
}

/** Turns bytes into frames (object mode); fails on a frame that is longer than maxFrameBytes. */
export class FrameDecoder extends Transform {
  #rest: Buffer = Buffer.alloc(0);

  constructor() {
    super({ readableObjectMode: true, readableHighWaterMark: 16 });
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (rest.length >= 5) {
      const length = rest.readUInt32BE(1);
      if (length > maxFrameBytes) {
        callback(new BangerError("request.too-large", `a frame of ${length} bytes is longer than ${maxFrameBytes}`));
        return;
      }
      if (rest.length < 5 + length) break;
      this.push({ type: rest.readUInt8(0), payload: rest.subarray(5, 5 + length) } satisfies Frame);
      rest = rest.subarray(5 + length);
    }
    this.#rest = rest;
    callback();
  }
}
