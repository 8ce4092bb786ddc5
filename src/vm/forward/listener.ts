// A listener of the host: a TCP port or a unix socket.
import { once } from "node:events";
import { chmodSync, lstatSync } from "node:fs";
import { rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { formatEndpoint, type Endpoint } from "../../lib/endpoint.ts";
import { BangerError } from "../../lib/errors.ts";
import { portOwner } from "./port-owner.ts";

export interface Listener extends Disposable {
  /** With the port that it got. */
  readonly listen: string;
}

/**
 * Listens and hands over each connection: paused, and open for writing after its end. A unix socket is 0600 and never takes the place of a file. Dispose closes the
 * port at once; connections go on. Throws `port.in-use` and `port.failed`.
 */
export async function listenOn(endpoint: Endpoint, onConnection: (socket: Socket) => void): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.on("connection", onConnection);
  try {
    await bound(server, endpoint).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EADDRINUSE" || !("path" in endpoint)) throw error;
      // A daemon that was killed before it could record what it listens on has left it.
      await removeStaleSocket(endpoint.path);
      await bound(server, endpoint);
    });
    if ("path" in endpoint) chmodSync(endpoint.path, 0o600);
  } catch (error) {
    server.close();
    throw explained(error as NodeJS.ErrnoException, endpoint);
  }
  // A single connection that could not be accepted, for want of file descriptors: the next one may be.
  server.on("error", () => {});
  return { listen: formatEndpoint(withPort(endpoint, server)), [Symbol.dispose]: () => void server.close() };
}

async function bound(server: Server, endpoint: Endpoint): Promise<void> {
  server.listen("path" in endpoint ? { path: endpoint.path } : { ...endpoint, exclusive: true, backlog: 511 });
  await once(server, "listening");
}

function withPort(endpoint: Endpoint, server: Server): Endpoint {
  const address = server.address();
  return "path" in endpoint || address === null || typeof address === "string"
    ? endpoint
    : { host: endpoint.host, port: address.port };
}

function explained(error: NodeJS.ErrnoException, endpoint: Endpoint): BangerError {
  const listen = formatEndpoint(endpoint);
  const { code = "" } = error;
  if ("path" in endpoint) {
    if (code === "EADDRINUSE") {
      return new BangerError("port.in-use", `"${listen}" exists already`, { cause: error, hint: `ls -l ${listen}` });
    }
    const why = code === "ENOENT" || code === "EACCES" ? "its directory is missing or not yours" : error.message;
    return new BangerError("port.failed", `cannot listen on "${listen}": ${why}`, { cause: error });
  }
  const { host, port } = endpoint;
  if (code === "EADDRINUSE") {
    const owner = portOwner(host, port);
    return new BangerError(
      "port.in-use",
      `port ${port} of ${host} is in use${owner === undefined ? "" : ` by ${owner}`}`,
      {
        cause: error,
        hint: `ss -ltnp 'sport = :${port}'  # who has it; without a host port a free one is taken`,
      },
    );
  }
  if (code === "EACCES") {
    return new BangerError(
      "port.failed",
      `port ${port} of ${host} needs root: it is below this host's unprivileged ports`,
      {
        cause: error,
        hint: `sudo sysctl net.ipv4.ip_unprivileged_port_start=${port}`,
      },
    );
  }
  const why = code === "EADDRNOTAVAIL" ? "this host has no such address" : error.message;
  return new BangerError("port.failed", `cannot listen on ${listen}: ${why}`, { cause: error });
}

/**
 * Removes a unix socket on which nobody listens any more: one that a daemon left which was killed. Anything else is left alone.
 */
export async function removeStaleSocket(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  const probe = connect({ path });
  const refused = await new Promise<boolean>((resolve) => {
    probe.once("connect", () => resolve(false));
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  });
  probe.destroy();
  if (refused) await rm(path, { force: true });
}
