// Looks into running VMs: what they use, and what listens in them.
import { once } from "node:events";
import type { GuestPort, VmStats } from "../api/guest-methods.ts";
import type { ForwardState } from "../api/forward-methods.ts";
import type { VmRecord } from "../api/records.ts";
import type { GuestAgent, GuestListener } from "../guest/agent.ts";
import { deadline, orAborted } from "../lib/abort.ts";
import { BangerError } from "../lib/errors.ts";
import { usageOf } from "../lib/process-table.ts";

/** A guest that does not answer must not hold up the list of all. */
const answerTimeoutMs = 2000;
/** A server of an emulated guest may need a second for its first answer. */
const probeTimeoutMs = 3000;

/** What the VM takes of the host, and what its guest says within two seconds. Throws when its VMM has ended. */
export async function statsOf(vm: VmRecord, agent: Promise<GuestAgent>, signal: AbortSignal): Promise<VmStats> {
  using limit = deadline(signal, answerTimeoutMs, () => new BangerError("timeout", "the guest did not answer"));
  const guest = await orAborted(agent, limit.signal)
    .then((one) => one.stats({ signal: limit.signal }))
    .catch(() => undefined);
  signal.throwIfAborted();
  return { id: vm.id, name: vm.name, at: Date.now(), host: await hostUse(vm), guest: guest ?? null };
}

async function hostUse({ name, pid, diskUsedBytes }: VmRecord): Promise<VmStats["host"]> {
  const usage = pid === null ? undefined : await usageOf(pid);
  if (usage === undefined) throw new BangerError("vm.wrong-state", `VM "${name}" is not running any more`);
  return { ...usage, diskBytes: diskUsedBytes };
}

/** Finds out which listeners speak HTTP, once for each of them, and where the host reaches those. */
export class PortList {
  readonly #known = new Map<string, Promise<boolean>>();
  readonly #agent: GuestAgent;
  readonly #signal: AbortSignal;

  constructor(agent: GuestAgent, signal: AbortSignal) {
    this.#agent = agent;
    this.#signal = signal;
  }

  async describe(listeners: readonly GuestListener[], forwards: readonly ForwardState[]): Promise<GuestPort[]> {
    const keys = listeners.map((one) => `${one.protocol} ${one.address} ${one.port} ${one.pid}`);
    for (const key of this.#known.keys()) if (!keys.includes(key)) this.#known.delete(key);
    return await Promise.all(
      listeners.map(async (listener, at) => {
        const http = listener.protocol === "tcp" && (await this.#speaksHttp(keys[at] ?? "", listener));
        return { ...listener, http, url: http ? urlOf(listener.port, forwards) : null };
      }),
    );
  }

  #speaksHttp(key: string, listener: GuestListener): Promise<boolean> {
    const known = this.#known.get(key) ?? probe(this.#agent, targetOf(listener), this.#signal);
    this.#known.set(key, known);
    return known;
  }
}

/** A listener on every address is reached on loopback. */
function targetOf({ address, port }: GuestListener): string {
  if (address === "0.0.0.0" || address === "::") return String(port);
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Through a forward that listens; one on every address is reached on loopback. */
function urlOf(port: number, forwards: readonly ForwardState[]): string | null {
  const forward = forwards.find(
    ({ target, listen, listening }) => listening && target.endsWith(`:${port}`) && !listen.startsWith("/"),
  );
  if (forward === undefined) return null;
  return `http://${forward.listen.replace(/^0\.0\.0\.0:/, "127.0.0.1:").replace(/^\[::\]:/, "[::1]:")}/`;
}

/** A request that changes nothing; the first bytes of the answer tell. Never throws. */
async function probe(agent: GuestAgent, tcp: string, signal: AbortSignal): Promise<boolean> {
  using limit = deadline(signal, probeTimeoutMs, () => new BangerError("timeout", "no answer"));
  try {
    // The signal ends the connection, too.
    const connection = await agent.dial({ tcp }, { signal: limit.signal });
    connection.on("error", () => {});
    try {
      connection.write("HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n");
      const [first] = (await once(connection, "data", { signal: limit.signal })) as [Buffer];
      return first.subarray(0, 5).toString("latin1") === "HTTP/";
    } finally {
      connection.destroy();
    }
  } catch {
    return false;
  }
}
