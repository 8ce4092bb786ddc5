// One connection of the host, carried to the guest and back. Each direction ends by itself, and neither side is read faster than the
// other takes.
import { once } from "node:events";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { reset } from "./reset.ts";

/** A peer that vanished without a word is found out after some of these. */
const keepAliveMs = 60_000;

/**
 * Connects `socket`, which is paused and half-closable, to what `dial` opens, and returns when both have ended. Never throws: when the guest does not take the
 * connection, or either side breaks, the other one is reset, so that nobody takes it for a clean end. The error is returned.
 */
export async function relay(socket: Socket, dial: (signal: AbortSignal) => Promise<Duplex>): Promise<unknown> {
  const gone = new AbortController();
  let failure: unknown;
  let guest: Duplex | undefined;
  const fail = (error: unknown) => {
    failure ??= error;
    gone.abort(error);
    guest?.destroy();
    reset(socket);
  };
  const closed = once(socket, "close").catch(() => {});
  socket.on("error", fail);
  socket.setKeepAlive(true, keepAliveMs);
  socket.setNoDelay(true);
  try {
    guest = await dial(gone.signal);
    guest.on("error", fail);
    if (socket.destroyed) guest.destroy();
    else {
      const guestClosed = once(guest, "close").catch(() => {});
      socket.once("close", () => {
        // After two clean ends the guest still takes what is on its way.
        if (!socket.readableEnded || !socket.writableFinished) guest?.destroy();
      });
      socket.pipe(guest).pipe(socket);
      await guestClosed;
      if (!socket.writableEnded) reset(socket);
    }
  } catch (error) {
    fail(error);
  }
  await closed;
  return failure;
}
