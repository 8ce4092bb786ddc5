// Endpoints as people write them: "127.0.0.1:8080", "[::1]:8080", or the absolute path of a unix socket.
import { isIP } from "node:net";
import { BangerError } from "./errors.ts";

export interface TcpEndpoint {
  host: string;
  port: number;
}

export type Endpoint = TcpEndpoint | { path: string };

/** What the kernel takes for the path of a unix socket, in bytes. */
const maxSocketPathBytes = 107;

/**
 * Reads an endpoint; a port alone is one of `defaultHost`. Hosts are IP addresses or `defaultHost`. Port 0 stands for "any" and is
 * refused unless `anyPort`. Throws `usage`.
 */
export function parseEndpoint(text: string, defaultHost: string, { anyPort = false } = {}): Endpoint {
  if (text.startsWith("/")) {
    if (Buffer.byteLength(text) > maxSocketPathBytes) {
      throw new BangerError(
        "usage",
        `"${text}" is longer than the ${maxSocketPathBytes} bytes of a unix socket's path`,
      );
    }
    if (text.includes("\0")) throw new BangerError("usage", `"${text}" cannot be a path`);
    return { path: text };
  }
  const colon = text.lastIndexOf(":");
  const host = colon < 0 ? defaultHost : text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const port = parsePort(text.slice(colon + 1), anyPort);
  if (port === undefined || (host !== defaultHost && isIP(host) === 0)) {
    throw new BangerError("usage", `"${text}" is neither a port, nor address:port, nor the absolute path of a socket`);
  }
  return { host, port };
}

/** 1 to 65535, with `anyPort` from 0 on; undefined for anything else. */
export function parsePort(text: string, anyPort = false): number | undefined {
  const port = Number(text);
  return /^\d{1,5}$/.test(text) && port <= 65_535 && (port > 0 || anyPort) ? port : undefined;
}

/** The inverse of `parseEndpoint`. */
export function formatEndpoint(endpoint: Endpoint): string {
  if ("path" in endpoint) return endpoint.path;
  const { host, port } = endpoint;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether nobody but this host reaches it. */
export function isLoopback(endpoint: Endpoint): boolean {
  if ("path" in endpoint) return true;
  const { host } = endpoint;
  return host.startsWith("127.") || host === "::1" || host === "localhost";
}
