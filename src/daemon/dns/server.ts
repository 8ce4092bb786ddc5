// The DNS server of the daemon: UDP and TCP on one port of 127.0.0.1.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { BangerError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { answer, type Lookup } from "./zone.ts";

const host = "127.0.0.1";
const maxConnections = 64;
const idleTimeoutMs = 10_000;
/** Replies that a client of TCP does not take; then it is let go. */
const maxUnsentBytes = 64 * 1024;

export interface DnsServerOptions {
  port: number;
  lookup: Lookup;
  log: Logger;
}

/** Listens until it is disposed of. Throws `port.in-use`, `port.failed`. */
export async function openDnsServer(options: DnsServerOptions): Promise<AsyncDisposable> {
  const { log, port } = options;
  // A bug in here must cost one reply, not the daemon.
  const safely = (message: Buffer) => {
    try {
      return answer(message, options.lookup);
    } catch (error) {
      log.error("a DNS query could not be answered", { query: message.toString("hex", 0, 512), error });
      return undefined;
    }
  };
  await using undo = new AsyncDisposableStack();
  const udp = createSocket({ type: "udp4" });
  undo.defer(() => closeUdp(udp));
  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    serve(socket, safely);
  });
  tcp.maxConnections = maxConnections;
  undo.defer(() => closeTcp(tcp, sockets));
  udp.on("message", (message, from) => {
    const reply = safely(message);
    // A client that is gone already does not matter.
    if (reply !== undefined) udp.send(reply, from.port, from.address, () => {});
  });
  try {
    udp.bind({ address: host, port, exclusive: true });
    await once(udp, "listening");
    tcp.listen({ host, port, exclusive: true });
    await once(tcp, "listening");
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    const inUse = code === "EADDRINUSE";
    const why = inUse ? "another program (or the daemon of another home) has it" : message;
    throw new BangerError(inUse ? "port.in-use" : "port.failed", `no DNS on port ${port} of ${host}: ${why}`, {
      cause: thrown,
      hint: `ss -lunp 'sport = :${port}'  # or another [dns] port in config.toml`,
    });
  }
  for (const server of [udp, tcp]) {
    server.on("error", (error: Error) => log.warn("an error of the DNS server", { reason: error.message }));
  }
  return undo.move();
}

/** Queries with their length in front, as many as come. */
function serve(socket: Socket, reply: (message: Buffer) => Buffer | undefined): void {
  let held = Buffer.alloc(0);
  socket.setTimeout(idleTimeoutMs, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
      const end = 2 + held.readUInt16BE(0);
      const answered = reply(held.subarray(2, end));
      held = held.subarray(end);
      // What deserves no answer over UDP is no DNS here either.
      if (answered === undefined || socket.writableLength > maxUnsentBytes) {
        socket.destroy();
        return;
      }
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answered.length);
      socket.write(Buffer.concat([length, answered]));
    }
  });
}

async function closeUdp(socket: UdpSocket): Promise<void> {
  const closed = once(socket, "close");
  socket.close();
  await closed;
}

async function closeTcp(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, "close");
  server.close();
  for (const socket of sockets) socket.destroy();
  await closed;
}
