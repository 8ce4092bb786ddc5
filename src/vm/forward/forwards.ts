// Listeners of the host that lead into VMs. The record of a VM says what shall listen; this makes it so whenever the VM's state changes.
import type { Socket } from "node:net";
import type { ForwardState, NewForward } from "../../api/forward-methods.ts";
import type { Forward } from "../../api/records.ts";
import { deadline, orAborted } from "../../lib/abort.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { parseEndpoint, type Endpoint } from "../../lib/endpoint.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { KeyedMutex } from "../../lib/mutex.ts";
import type { VmRow, VmTable } from "../../state/vms.ts";
import type { Activity } from "../activity.ts";
import type { Sessions } from "../sessions.ts";
import { Gate } from "./gate.ts";
import { listenOn, removeStaleSocket, type Listener } from "./listener.ts";
import { defaultHost, dialTarget, maxForwards, planForward, withOwnAddress } from "./plan.ts";
import { relay } from "./relay.ts";

/** How long a connection waits for a guest: one that is busy, or whose agent is being reached again. */
const dialTimeoutMs = 30_000;

/** States in which a VM's listeners are there. */
const live: ReadonlySet<VmRow["state"]> = new Set(["starting", "running", "stopping"]);
/** States that end what was not published. A paused VM goes on. */
const ended: ReadonlySet<VmRow["state"]> = new Set(["created", "stopped", "broken"]);

export interface ForwardsParts {
  table: VmTable;
  sessions: Sessions;
  activity: Activity;
  log: Logger;
}

interface Bound extends Forward {
  /** Undefined: it could not be bound. */
  listener: Listener | undefined;
  problem: string;
}

interface OfVm {
  /** By what they listen on. */
  bound: Map<string, Bound>;
  gate: Gate;
}

export class Forwards {
  readonly #parts: ForwardsParts;
  readonly #vms = new Map<string, OfVm>();
  /** Changes of one VM's listeners, one after the other. */
  readonly #locks = new KeyedMutex();
  #closed = false;

  constructor(parts: ForwardsParts) {
    this.#parts = parts;
  }

  /**
   * Binds what a VM that is being made is to have; the result is what its record must say. When it is disposed of and there is no such record, the ports are free again.
   * Throws `usage`, `port.in-use`, `port.failed`; then nothing is bound.
   */
  async reserve(vmId: string, wanted: readonly NewForward[]): Promise<{ forwards: Forward[] } & Disposable> {
    const forwards = await this.#bindNew(vmId, wanted, [], true);
    return { forwards, [Symbol.dispose]: () => void this.settle(vmId) };
  }

  /** Binds what a VM that is about to start has published. Throws as `reserve`. */
  async prepare(row: VmRow): Promise<void> {
    if (row.forwards.length === 0) return;
    using _lock = await this.#lock(row.id);
    const fresh: Bound[] = [];
    try {
      for (const forward of row.forwards.filter(({ published }) => published)) {
        if (this.#of(row.id).bound.get(forward.listen)?.listener !== undefined) continue;
        fresh.push(await this.#bind(row.id, forward, endpointOf(forward.listen)));
      }
    } catch (thrown) {
      for (const one of fresh) this.#unbind(row.id, one.listen);
      const { code, hint, message } = toBangerError(thrown);
      throw new BangerError(code, `VM "${row.name}" cannot get what it publishes: ${message}`, {
        cause: thrown,
        hint: hint ?? `banger vm forward ${row.name} --list`,
      });
    }
  }

  /** Adds to a running VM. Throws as `reserve`; then it is as before. */
  async add(row: VmRow, wanted: readonly NewForward[]): Promise<void> {
    const made = await this.#bindNew(row.id, wanted, row.forwards, false);
    try {
      const now = this.#parts.table.get(row.id);
      if (now === undefined || !live.has(now.state)) {
        throw new BangerError("vm.wrong-state", `VM "${row.name}" has ended meanwhile`);
      }
      this.#parts.table.update(row.id, { forwards: [...now.forwards, ...made] });
      crashPoint("forward.recorded");
    } finally {
      await this.settle(row.id);
    }
  }

  /** Removes from a VM in whatever state. */
  async remove(row: VmRow, gone: readonly Forward[]): Promise<void> {
    const listens = new Set(gone.map(({ listen }) => listen));
    this.#parts.table.update(row.id, { forwards: row.forwards.filter(({ listen }) => !listens.has(listen)) });
    crashPoint("forward.unrecorded");
    await this.settle(row.id);
  }

  list(row: VmRow): ForwardState[] {
    const of = this.#vms.get(row.id);
    return withOwnAddress(row.forwards, row.address).map((forward) => {
      const bound = of?.bound.get(forward.listen);
      return {
        ...forward,
        listening: bound?.listener !== undefined,
        problem: bound?.problem ?? "",
        connections: of?.gate.count(forward.listen) ?? 0,
      };
    });
  }

  /** The first call of a daemon: sockets that a killed one left would be in the way. */
  async sweep(): Promise<void> {
    const paths = this.#parts.table.list().flatMap(({ forwards }) => forwards.map(({ listen }) => listen));
    await Promise.all(paths.filter((path) => path.startsWith("/")).map(removeStaleSocket));
  }

  /** Makes what listens for a VM what its record says. Never throws: what cannot be bound says so in the list. */
  async settle(vmId: string): Promise<void> {
    try {
      using _lock = await this.#lock(vmId);
      await this.#settle(vmId);
    } catch (error) {
      this.#parts.log.error("listeners of a VM could not be set right", { vm: vmId, error });
    }
  }

  /** Frees all ports and ends all connections. */
  close(): void {
    this.#closed = true;
    for (const vmId of this.#vms.keys()) this.#drop(vmId);
  }

  async #settle(vmId: string): Promise<void> {
    const { log, table } = this.#parts;
    let row = table.get(vmId);
    if (row !== undefined && ended.has(row.state) && row.forwards.some(({ published }) => !published)) {
      row = table.update(vmId, { forwards: row.forwards.filter(({ published }) => published) });
    }
    const forwards = row !== undefined && live.has(row.state) ? withOwnAddress(row.forwards, row.address) : [];
    const wanted = new Map(forwards.map((forward) => [forward.listen, forward]));
    const of = this.#vms.get(vmId);
    for (const { listen, target } of of?.bound.values() ?? []) {
      if (wanted.get(listen)?.target !== target) this.#unbind(vmId, listen, row?.state === "paused");
    }
    if (wanted.size === 0 && row?.state !== "paused") this.#drop(vmId);
    if (this.#closed) return;
    for (const forward of wanted.values()) {
      if (this.#of(vmId).bound.get(forward.listen)?.listener !== undefined) continue;
      try {
        await this.#bind(vmId, forward, endpointOf(forward.listen));
      } catch (thrown) {
        const { cause, message } = toBangerError(thrown);
        log.warn("a forward does not listen", { vm: vmId, listen: forward.listen, reason: message });
        this.#of(vmId).bound.set(forward.listen, { ...forward, listener: undefined, problem: message });
        const missing = (cause as NodeJS.ErrnoException | undefined)?.code === "EADDRNOTAVAIL";
        // Where only 127.0.0.1 can be bound, that is what the VM's name means.
        if (missing && forward.listen.startsWith(`${row?.address}:`)) table.update(vmId, { address: null });
      }
    }
  }

  async #bindNew(
    vmId: string,
    wanted: readonly NewForward[],
    present: readonly Forward[],
    published: boolean,
  ): Promise<Forward[]> {
    if (present.length + wanted.length > maxForwards) {
      throw new BangerError("usage", `a VM can have ${maxForwards} forwards`);
    }
    const plans = wanted.map(planForward);
    using _lock = await this.#lock(vmId);
    const fresh: Bound[] = [];
    try {
      for (const { listen, target } of plans) {
        if (present.some((one) => one.target === target && isSame(listen, one.listen))) continue;
        fresh.push(await this.#bind(vmId, { listen: "", target, published }, listen));
      }
    } catch (error) {
      for (const one of fresh) this.#unbind(vmId, one.listen);
      throw error;
    }
    return fresh.map(({ listen, target }) => ({ listen, target, published }));
  }

  async #bind(vmId: string, forward: Forward, endpoint: Endpoint): Promise<Bound> {
    const { target } = forward;
    let listen = "";
    let listener: Listener;
    try {
      listener = await listenOn(endpoint, (socket) => void this.#carry(vmId, listen, target, socket));
    } catch (error) {
      throw this.#withHolder(endpoint, error);
    }
    ({ listen } = listener);
    const bound: Bound = { ...forward, listen, listener, problem: "" };
    this.#of(vmId).bound.set(listen, bound);
    crashPoint("forward.bound");
    return bound;
  }

  /** Says which VM has the port, and how to take it from it. */
  #withHolder(endpoint: Endpoint, thrown: unknown): unknown {
    const error = toBangerError(thrown);
    if (error.code !== "port.in-use") return thrown;
    for (const [vmId, { bound }] of this.#vms) {
      const holder = [...bound.values()].find(({ listen, listener }) => listener && clash(endpoint, listen));
      const name = holder && this.#parts.table.get(vmId)?.name;
      if (holder === undefined || name === undefined) continue;
      return new BangerError("port.in-use", `${holder.listen} leads into VM "${name}" already (${holder.target})`, {
        hint: `banger vm forward ${name} --remove ${holder.listen}`,
        cause: error,
      });
    }
    return thrown;
  }

  async #carry(vmId: string, listen: string, target: string, socket: Socket): Promise<void> {
    const { activity, log, sessions } = this.#parts;
    await this.#of(vmId).gate.pass(listen, socket, async () => {
      using _activity = activity.begin(vmId);
      const failure = await relay(socket, async (signal) => {
        const session = sessions.get(vmId);
        if (session === undefined) throw new BangerError("vm.wrong-state", "the VM does not run yet");
        using limit = deadline(signal, dialTimeoutMs, () => new BangerError("timeout", "the guest did not answer"));
        const agent = await orAborted(session.agent, limit.signal);
        const connection = agent.dial(dialTarget(target), { signal: limit.signal });
        return await orAborted(connection, limit.signal);
      });
      if (failure !== undefined) {
        log.debug("a forwarded connection broke", { vm: vmId, listen, reason: toBangerError(failure).message });
      }
    });
  }

  #of(vmId: string): OfVm {
    const known = this.#vms.get(vmId) ?? { bound: new Map(), gate: new Gate() };
    this.#vms.set(vmId, known);
    return known;
  }

  #unbind(vmId: string, listen: string, keepConnections = false): void {
    const of = this.#vms.get(vmId);
    of?.bound.get(listen)?.listener?.[Symbol.dispose]();
    of?.bound.delete(listen);
    if (!keepConnections) of?.gate.end(listen);
  }

  #drop(vmId: string): void {
    const of = this.#vms.get(vmId);
    for (const listen of of?.bound.keys() ?? []) this.#unbind(vmId, listen);
    of?.gate[Symbol.dispose]();
    this.#vms.delete(vmId);
  }

  #lock(vmId: string): Promise<Disposable> {
    return this.#locks.acquire(vmId, neverAborted);
  }
}

const endpointOf = (listen: string) => parseEndpoint(listen, defaultHost);

/** Whether what is asked for is there: for a free port any will do only when it is new, so that none is given twice. */
function isSame(wanted: Endpoint, listen: string): boolean {
  const there = endpointOf(listen);
  if ("path" in wanted || "path" in there) return "path" in wanted && "path" in there && wanted.path === there.path;
  return wanted.port === there.port && wanted.host === there.host;
}

function clash(wanted: Endpoint, listen: string): boolean {
  const there = endpointOf(listen);
  if ("path" in wanted || "path" in there) return isSame(wanted, listen);
  const wild = [wanted.host, there.host].some((host) => host === "0.0.0.0" || host === "::");
  return wanted.port === there.port && (wild || wanted.host === there.host);
}

const neverAborted = new AbortController().signal;
