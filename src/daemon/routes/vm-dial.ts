// vm.dial: frames of the client on one side, a connection inside the guest on the other. Each direction ends by itself.
import { once } from "node:events";
import type { Duplex } from "node:stream";
import type { FrameSocket } from "../../api/frame-socket.ts";
import { frameType } from "../../api/frames.ts";
import { BangerError } from "../../lib/errors.ts";
import type { Handler } from "../handler.ts";
import type { RouteContext } from "./context.ts";

const probeIntervalMs = 1000;

export function dialRoute({ services: { vms } }: RouteContext): Handler<"vm.dial"> {
  return async ({ vm, target }, socket, { signal }) => {
    const { agent, record } = await vms.agent(vm);
    using _activity = vms.activity.begin(record.id);
    const connection = await agent.dial(target, { signal });
    const onAbort = () => connection.destroy();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      void socket.send(frameType.started);
      const outward = send(connection, socket);
      const inward = receive(socket, connection, signal);
      // The client's side may stay open for ever; the guest's end of output is what a client waits for.
      await Promise.all([outward, Promise.race([inward, once(connection, "close", { signal })])]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      connection.destroy();
    }
  };
}

async function send(connection: Duplex, socket: FrameSocket): Promise<void> {
  const writer = socket.writer(frameType.output, frameType.outputEnd);
  for await (const chunk of connection.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (!writer.write(chunk)) await once(writer, "drain");
  }
  writer.end();
  await once(writer, "finish");
}

async function receive(socket: FrameSocket, connection: Duplex, signal: AbortSignal): Promise<void> {
  for await (const { type, payload } of socket.frames) {
    if (type === frameType.input) {
      if (connection.writable && !connection.write(payload)) await drained(socket, connection, signal);
    } else if (type === frameType.inputEnd) {
      connection.end();
      return;
    } else {
      throw new BangerError("request.invalid", `vm.dial: a frame of type ${type} was not expected`);
    }
  }
  // The client left without a word: nobody takes what the guest still sends.
  connection.destroy(new BangerError("cancelled", "the client went away"));
}

/** Waits until the guest has taken what was written. Meanwhile nothing is read from the client, so its end would not be noticed: it is probed. */
async function drained(socket: FrameSocket, connection: Duplex, signal: AbortSignal): Promise<void> {
  const probe = setInterval(() => void socket.send(frameType.inputTaken, Buffer.alloc(4)), probeIntervalMs);
  try {
    await once(connection, "drain", { signal });
  } finally {
    clearInterval(probe);
  }
}
