// Plugs the network device of a running machine into the socket of whoever carries its frames, and out again.
import { BangerError } from "../../lib/errors.ts";
import { deadline, orAborted } from "../../lib/abort.ts";
import { networkHub } from "./arguments.ts";
import type { Control } from "./control.ts";

/** The end that leads to the socket, and the port of the hub that it is plugged into. */
const stream = "uplink";
const port = "uplink-port";

/** Connecting to a local socket that listens takes no time. */
const connectTimeoutMs = 5_000;

/** See `Machine.connectNetwork`. `socket` may be relative to the working directory of QEMU. */
export async function connectNetwork(
  control: Control,
  vmId: string,
  socket: string,
  options: { signal: AbortSignal },
): Promise<void> {
  await disconnectNetwork(control);
  const connected = Promise.withResolvers<void>();
  using _ = control.listen(({ name, data }) => {
    if (name === "NETDEV_STREAM_CONNECTED" && data["netdev-id"] === stream) connected.resolve();
  });
  // QEMU says nothing when it cannot connect.
  using limit = deadline(options.signal, connectTimeoutMs, () => {
    return new BangerError("network.failed", `the VMM of "${vmId}" could not connect to "${socket}"`);
  });
  const addr = { type: "unix", path: socket };
  await control.command("netdev_add", { type: "stream", id: stream, server: false, addr });
  try {
    await control.command("netdev_add", { type: "hubport", id: port, hubid: networkHub, netdev: stream });
    await orAborted(connected.promise, limit.signal);
  } catch (error) {
    await disconnectNetwork(control);
    throw error;
  }
}

/** See `Machine.disconnectNetwork`. */
export async function disconnectNetwork(control: Control): Promise<void> {
  for (const id of [port, stream]) {
    try {
      await control.command("netdev_del", { id });
    } catch (error) {
      // "Device 'uplink' not found"
      if (!(error instanceof BangerError) || !error.message.includes("not found")) throw error;
    }
  }
}
