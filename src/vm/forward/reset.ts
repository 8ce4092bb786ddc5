// The end of a connection that must not look like a clean one, as far as its kind knows the difference.
import type { Socket } from "node:net";

/** Resets a TCP connection. A unix socket knows no reset, and Node throws for it: it is closed. One that is closed stays so. */
export function reset(socket: Socket): void {
  if (socket.remoteFamily === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
