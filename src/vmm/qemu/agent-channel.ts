// Connects to the socket behind which the guest's agent is.
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { socketAddress } from "../../config/paths.ts";
import { BangerError } from "../../lib/errors.ts";

/** See `Machine.controlChannel`. */
export async function connectAgent(path: string, vmId: string, signal: AbortSignal): Promise<Duplex> {
  signal.throwIfAborted();
  using name = socketAddress(path);
  const socket = connect(name.address);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  socket.once("connect", resolve);
  const onError = (cause: Error) =>
    reject(
      new BangerError("guest.unreachable", `the VMM of "${vmId}" takes no connection: ${cause.message}`, { cause }),
    );
  socket.once("error", onError);
  try {
    await promise;
    socket.off("error", onError);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
