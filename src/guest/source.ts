// Moves a readable stream into a call, piece by piece and no faster than the guest takes it.
import type { Readable } from "node:stream";
import { BangerError } from "../lib/errors.ts";
import { maxChunkBytes } from "./call.ts";

export interface Pump {
  /** Resolves at the source's end; rejects with its error, or when it closed before its end. Pending after `stop`. */
  readonly ended: Promise<void>;
  /** Lets go of the source, which stays open and paused. */
  stop(): void;
}

/** Starts to read `source`; `send` resolves when there is room for more, with false when nobody wants more. */
export function pump(source: Readable, send: (data: Uint8Array) => Promise<boolean>): Pump {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let sending: Promise<unknown> = Promise.resolve();
  const sendAll = async (data: Uint8Array) => {
    for (let offset = 0; offset < data.length; offset += maxChunkBytes) {
      if (!(await send(data.subarray(offset, offset + maxChunkBytes)))) return stop();
    }
    source.resume();
  };
  const onData = (chunk: Buffer | string) => {
    source.pause();
    sending = sendAll(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  };
  const onEnd = () => {
    stop();
    void sending.then(() => resolve());
  };
  const onClose = () => onError(new BangerError("cancelled", "the input closed before its end"));
  const onError = (error: Error) => {
    stop();
    reject(error);
  };
  const stop = () => {
    source.off("data", onData).off("end", onEnd).off("close", onClose);
    // The listener for errors stays: a source that fails later must not end the process.
    source.pause();
  };
  source.on("error", onError);
  if (source.errored) onError(source.errored);
  else if (source.readableEnded) onEnd();
  else if (source.destroyed) onClose();
  else source.on("end", onEnd).on("close", onClose).on("data", onData);
  promise.catch(() => {});
  return { ended: promise, stop };
}
