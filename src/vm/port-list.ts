// What listens in a running VM: which of it speaks HTTP, and where the host reaches that.
import { once } from "node:events";
import type { ForwardState } from "../api/forward-methods.ts";
import type { GuestPort } from "../api/guest-methods.ts";
import type { GuestAgent, GuestListener } from "../guest/agent.ts";
import { deadline } from "../lib/abort.ts";
import { BangerError } from "../lib/errors.ts";

/** A server of an emulated guest may need a second for its first answer. */
const probeTimeoutMs = 3000;

/**
 * The list, and with `follow` again at each change. Then nobody waits for servers that say nothing: one is taken for no HTTP server until it
 * has answered, and the list comes again when it does.
 */
export async function* describedPorts(
  agent: Pick<GuestAgent, "listeners" | "dial">,
  forwards: () => readonly ForwardState[],
  { follow, signal }: { follow: boolean; signal: AbortSignal },
): AsyncGenerator<GuestPort[], void> {
  const over = new AbortController();
  const until = AbortSignal.any([signal, over.signal]);
  const list = new PortList(agent, until);
  const changes = agent.listeners({ follow, signal: until })[Symbol.asyncIterator]();
  const nextChange = () => {
    const change = changes.next();
    // It may be given up while nobody awaits it.
    change.catch(() => {});
    return change;
  };
  try {
    for (let change = changes.next(); ;) {
      const now = await change;
      if (now.done === true) return;
      const listeners = now.value;
      change = nextChange();
      if (!follow) {
        yield await list.describe(listeners, forwards());
        continue;
      }
      const known = list.known(listeners, forwards());
      yield known;
      const all = list.describe(listeners, forwards());
      const changed = change.then(
        () => undefined,
        () => undefined,
      );
      const answered = await Promise.race([all, changed]);
      if (answered?.some(({ http }, at) => http !== known[at]?.http) === true) yield answered;
    }
  } finally {
    over.abort();
    await changes.return?.(undefined).catch(() => {});
  }
}

/** Finds out which listeners speak HTTP, once for each of them, and where the host reaches those. */
class PortList {
  readonly #probes = new Map<string, Promise<boolean>>();
  readonly #answers = new Map<string, boolean>();
  readonly #agent: Pick<GuestAgent, "dial">;
  readonly #signal: AbortSignal;

  constructor(agent: Pick<GuestAgent, "dial">, signal: AbortSignal) {
    this.#agent = agent;
    this.#signal = signal;
  }

  /** With what is known by now. */
  known(listeners: readonly GuestListener[], forwards: readonly ForwardState[]): GuestPort[] {
    this.#forgetAllBut(listeners);
    return listeners.map((listener) => describe(listener, this.#answers.get(keyOf(listener)) === true, forwards));
  }

  /** Once everybody has answered, or had the time to. */
  async describe(listeners: readonly GuestListener[], forwards: readonly ForwardState[]): Promise<GuestPort[]> {
    this.#forgetAllBut(listeners);
    return await Promise.all(
      listeners.map(async (listener) => describe(listener, await this.#speaksHttp(listener), forwards)),
    );
  }

  #forgetAllBut(listeners: readonly GuestListener[]): void {
    const keys = new Set(listeners.map(keyOf));
    for (const key of this.#probes.keys()) {
      if (keys.has(key)) continue;
      this.#probes.delete(key);
      this.#answers.delete(key);
    }
  }

  #speaksHttp(listener: GuestListener): Promise<boolean> {
    if (listener.protocol !== "tcp") return Promise.resolve(false);
    const key = keyOf(listener);
    const known = this.#probes.get(key);
    if (known !== undefined) return known;
    const asked = probe(this.#agent, targetOf(listener), this.#signal);
    this.#probes.set(key, asked);
    void asked.then((http) => this.#probes.get(key) === asked && this.#answers.set(key, http));
    return asked;
  }
}

const keyOf = ({ address, pid, port, protocol }: GuestListener) => `${protocol} ${address} ${port} ${pid}`;

function describe(listener: GuestListener, http: boolean, forwards: readonly ForwardState[]): GuestPort {
  return { ...listener, http, url: http ? urlOf(listener.port, forwards) : null };
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
async function probe(agent: Pick<GuestAgent, "dial">, tcp: string, signal: AbortSignal): Promise<boolean> {
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
