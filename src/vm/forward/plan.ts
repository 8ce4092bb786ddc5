// What listens for a VM: from what was asked for, and its own address.
import type { NewForward } from "../../api/forward-methods.ts";
import type { Forward } from "../../api/records.ts";
import { formatEndpoint, parseEndpoint, type Endpoint } from "../../lib/endpoint.ts";
import { BangerError } from "../../lib/errors.ts";

/** Where a listener is when no address is named. */
export const defaultHost = "127.0.0.1";
/** The guest's loopback, of IPv4, else of IPv6. */
const guestHost = "localhost";
/** More listeners than this for one VM are a mistake. */
export const maxForwards = 64;

export interface PlannedForward {
  listen: Endpoint;
  target: string;
}

/** Checks what a user asks for. Port 0 is a free one. Throws `usage`. */
export function planForward({ listen = "0", target }: NewForward): PlannedForward {
  return {
    listen: parseEndpoint(listen, defaultHost, { anyPort: true }),
    target: formatEndpoint(parseEndpoint(target, guestHost)),
  };
}

/**
 * All that shall listen: for a port of the guest that has a listener on 127.0.0.1, the same port of the VM's own address, too.
 * That is what makes `http://<name>.vm:<guest's port>` work.
 */
export function withOwnAddress(forwards: readonly Forward[], address: string | null): Forward[] {
  const all = [...forwards];
  if (address === null) return all;
  for (const { listen, target, published } of forwards) {
    if (!listen.startsWith(`${defaultHost}:`) || !target.startsWith(`${guestHost}:`)) continue;
    const own = `${address}:${target.slice(guestHost.length + 1)}`;
    if (!all.some((one) => one.listen === own)) all.push({ listen: own, target, published });
  }
  return all;
}

/**
 * Those that `text` means: what they listen on, or the port of that, or the whole "listen:target". Throws `usage` when there is none.
 */
export function matchForwards(forwards: readonly Forward[], text: string, vmName: string): Forward[] {
  const found = forwards.filter(({ listen, target }) => {
    const port = listen.startsWith("/") ? undefined : listen.slice(listen.lastIndexOf(":") + 1);
    const guest = target.startsWith(`${guestHost}:`) ? target.slice(guestHost.length + 1) : target;
    return text === listen || text === port || text === `${listen}:${guest}` || text === `${port}:${guest}`;
  });
  if (found.length > 0) return found;
  throw new BangerError("usage", `nothing of VM "${vmName}" listens on "${text}"`, {
    hint: `banger vm forward ${vmName} --list`,
  });
}

/** What `GuestAgent.dial` takes. */
export function dialTarget(target: string): { tcp: string } | { unix: string } {
  if (target.startsWith("/")) return { unix: target };
  return { tcp: target.startsWith(`${guestHost}:`) ? target.slice(guestHost.length + 1) : target };
}
