// A guest that tests script: the far end of a channel in this process, honest in its handshake and free after it.
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { ConnectRouter } from "@connectrpc/connect";
import { once } from "node:events";
import * as http2 from "node:http2";
import { duplexPair } from "node:stream";
import type { Duplex } from "node:stream";
import { connectGuest } from "../../src/guest/connect.ts";
import type { GuestAgent } from "../../src/guest/agent.ts";

/** Answers the SYN of a host; returns when the ACK is written. The channel is left paused. */
export async function acknowledge(far: Duplex): Promise<void> {
  let seen = "";
  for (;;) {
    const [chunk] = (await once(far, "data")) as [Buffer];
    far.pause();
    seen += chunk.toString("latin1");
    const syn = /\nBANGER\/1 SYN ([0-9a-f]{32} \d+)\n/.exec(seen);
    if (syn === null) continue;
    far.write(`\nBANGER/1 ACK ${syn[1]}\n`);
    return;
  }
}

/** An agent's session with a guest whose bytes, after the handshake, are the test's own. */
export async function rawGuest(signal: AbortSignal): Promise<{ agent: GuestAgent; far: Duplex }> {
  const [near, far] = duplexPair();
  far.on("error", () => {});
  const acknowledged = acknowledge(far);
  const agent = await connectGuest(near, { signal });
  await acknowledged;
  return { agent, far };
}

/** An agent's session with a guest that serves these Connect routes. */
export async function connectGuestTo(
  routes: (router: ConnectRouter) => void,
  signal: AbortSignal,
): Promise<{ agent: GuestAgent; far: Duplex; near: Duplex; closing: () => Promise<void> }> {
  const [near, far] = duplexPair();
  far.on("error", () => {});
  const open = new Set<http2.ServerHttp2Stream>();
  let wake = () => {};
  const server = http2.createServer(connectNodeAdapter({ routes }));
  server.on("sessionError", () => {});
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    open.add(stream);
    stream.on("error", () => {});
    stream.on("close", () => {
      open.delete(stream);
      wake();
    });
  });
  const served = acknowledge(far).then(() => server.emit("connection", far));
  const agent = await connectGuest(near, { signal });
  await served;
  return {
    agent,
    far,
    near,
    /** Resolves when no call is open any more. */
    closing: async () => {
      while (open.size > 0) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
    },
  };
}
