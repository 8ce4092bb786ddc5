// The host's half of the handshake that starts a session (docs/agent-wire.md): it finds a place in a byte stream that may
// hold the remains of an older session in both directions.
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { BangerError } from "../lib/errors.ts";
import { reasonOf } from "./failure.ts";

/** Bytes that are dropped at most while waiting for the ACK. */
const maxStaleBytes = 1024 * 1024;
/**
 * Pauses before each repetition of the SYN; the last holds for all further ones. A guest that was just restored may lose the
 * first. 130 ms are more than the silence that lets a SYN count inside a frame of an old session.
 */
const repeatMs = [20, 50, 130, 300, 1000];

/**
 * Writes SYN lines until the guest has acknowledged the last of them. Waits as long as the signal allows: before a guest
 * is up, nothing answers. What came behind the ACK is put back into `channel`, which is left paused and without listeners.
 * Throws `guest.protocol` when 1 MiB came without an ACK, `guest.unreachable` when the channel ended, or the signal's reason.
 */
export async function shakeHands(channel: Duplex, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const nonce = randomBytes(16).toString("hex");
  let count = 0;
  let staleBytes = 0;
  let tail: Buffer = Buffer.alloc(0);
  let blocked = false;
  let timer: NodeJS.Timeout | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<void>();

  const greet = () => {
    // A guest that does not read gets one line: the rest would only pile up here.
    if (blocked) {
      timer = setTimeout(greet, repeatMs.at(-1));
      return;
    }
    count += 1;
    timer = setTimeout(greet, repeatMs[Math.min(count, repeatMs.length) - 1]);
    blocked = !channel.write(`\nBANGER/1 SYN ${nonce} ${count}\n`);
  };
  const onDrain = () => {
    blocked = false;
  };
  const onData = (chunk: Buffer) => {
    const ack = `\nBANGER/1 ACK ${nonce} ${count}\n`;
    const seen = Buffer.concat([tail, chunk]);
    const at = seen.indexOf(ack);
    if (at === -1) {
      staleBytes += chunk.length;
      tail = seen.subarray(-(ack.length - 1));
      if (staleBytes > maxStaleBytes) {
        reject(new BangerError("guest.protocol", `the guest sent ${staleBytes} bytes and no answer to the handshake`));
      }
      return;
    }
    channel.pause();
    channel.off("data", onData);
    const rest = seen.subarray(at + ack.length);
    if (rest.length > 0) channel.unshift(rest);
    resolve();
  };
  const onEnd = () => reject(new BangerError("guest.unreachable", "the guest's channel closed during the handshake"));
  const onError = (error: Error) =>
    reject(new BangerError("guest.unreachable", `the guest's channel failed: ${error.message}`, { cause: error }));
  const onAbort = () => reject(reasonOf(signal));

  channel.on("drain", onDrain).on("data", onData).on("end", onEnd).on("close", onEnd).on("error", onError);
  signal.addEventListener("abort", onAbort, { once: true });
  greet();
  try {
    if (channel.destroyed || channel.readableEnded) onEnd();
    await promise;
  } finally {
    clearTimeout(timer);
    channel.off("drain", onDrain).off("data", onData).off("end", onEnd).off("close", onEnd).off("error", onError);
    signal.removeEventListener("abort", onAbort);
  }
}
