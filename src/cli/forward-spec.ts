// "[[address:]port:]port" and its kin with sockets, as people write them behind --publish and "vm forward".
import { resolve } from "node:path";
import type { ParamsOf } from "../api/methods.ts";
import { isLoopback, parseEndpoint } from "../lib/endpoint.ts";
import { BangerError } from "../lib/errors.ts";
import type { Terminal } from "./output/terminal.ts";

type NewForward = ParamsOf<"vm.forward">["add"][number];

/**
 * Reads what is to listen on the host (left out: a free port) and what it leads to: "80", "8080:80", "0.0.0.0:8080:80", "./app.sock:80",
 * "8080:/run/app.sock". A relative path is one of the working directory; the guest's is absolute. Throws `usage`.
 */
export function parseForward(text: string): NewForward {
  const colon = text.includes(":/") ? text.lastIndexOf(":/") : text.lastIndexOf(":");
  const target = text.slice(colon + 1);
  const host = colon < 0 ? undefined : text.slice(0, colon);
  try {
    parseEndpoint(target, "localhost");
    if (host === undefined) return { target };
    const listen = host.startsWith(".") ? resolve(host) : host;
    parseEndpoint(listen, "127.0.0.1", { anyPort: true });
    return { listen, target };
  } catch (error) {
    throw new BangerError(
      "usage",
      `"${text}" is not [[address:]port:]port, nor with absolute paths of sockets for ports`,
      {
        cause: error,
      },
    );
  }
}

/** Warns of listeners that other machines reach. */
export function warnOfOthers(terminal: Terminal, forwards: readonly { listen: string }[]): void {
  for (const { listen } of forwards) {
    if (isLoopback(parseEndpoint(listen, "127.0.0.1"))) continue;
    terminal.notice(`warning: other machines reach ${listen}, whoever they are; without an address only this one does`);
  }
}
