// Machines that run now, each with its agent. Watches both: a machine that ends by itself becomes "stopped" with the
// reason, a guest that breaks the rules of the control channel becomes "broken".
import { setTimeout as delay } from "node:timers/promises";
import type { GuestAgent } from "../guest/agent.ts";
import { orAborted } from "../lib/abort.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Machine } from "../vmm/driver.ts";

export interface Session {
  readonly machine: Machine;
  /** The agent, or the error why there is none. Replaced after a reconnect. */
  agent: Promise<GuestAgent>;
  /** Set by a verb that ends the machine itself: then its end is no news. */
  ending: boolean;
  /** Set by such a verb: what those are told who work with the guest. */
  why: BangerError | undefined;
  /** Aborted with that, or with what else has happened, as soon as nothing is to be begun with the guest any more. */
  readonly ended: AbortController;
}

/** For a verb that has the guest end its machine itself. What is under way may still come to its end; else it fails with `why`. */
export function announceEnd(session: Session, why: BangerError): void {
  session.ending = true;
  session.why = why;
  session.ended.abort(why);
}

/** Ends the machine of a session for a verb. What is under way with its guest fails with `why`. */
export async function endMachine(session: Session, why: BangerError): Promise<void> {
  announceEnd(session, why);
  // Before the channel breaks, which would be the reason otherwise.
  session.agent.then(
    (agent) => agent.end(why),
    () => {},
  );
  await session.machine.kill();
}

export interface SessionEvents {
  /** The machine ended. `reason` is empty when a verb had asked for it. */
  onExit(vmId: string, reason: string): void;
  /** The guest broke the control channel's rules, or does not answer any more. */
  onBroken(vmId: string, reason: string): void;
  /** What those are told who work with the guest of a machine that has ended by itself. */
  whyEnded(vmId: string, reason: string): BangerError;
  /** Opens an agent session on a machine that runs already. */
  reconnect(machine: Machine, options: { signal: AbortSignal }): Promise<GuestAgent>;
}

/** A guest that cuts its channel again and again is broken: this often within this time it is taken up again. */
const maxReconnects = 5;
const reconnectWindowMs = 60_000;
/** A channel breaks a moment before its machine is seen as ended. */
const endSeenMs = 1000;

interface Watched extends Session {
  /** Aborted when the machine is let go of. */
  readonly over: AbortController;
  /** When the channel was cut, by the monotonic clock; the last ones. */
  readonly cutsMs: number[];
  /** There while the machine stands still: no agent answers until it is resolved. */
  still: PromiseWithResolvers<void> | undefined;
}

export class Sessions {
  readonly #sessions = new Map<string, Watched>();
  readonly #events: SessionEvents;
  readonly #log: Logger;
  #closed = false;

  constructor(events: SessionEvents, log: Logger) {
    this.#events = events;
    this.#log = log;
  }

  get size(): number {
    return this.#sessions.size;
  }

  get(vmId: string): Session | undefined {
    return this.#sessions.get(vmId);
  }

  /** Takes over a running machine, with its agent or by connecting to it. */
  adopt(machine: Machine, agent?: GuestAgent): Session {
    return this.#adopt(machine, agent, undefined);
  }

  /** Takes over a machine whose CPUs stand still; connects to its agent after `release`. */
  adoptStill(machine: Machine): Session {
    return this.#adopt(machine, undefined, Promise.withResolvers());
  }

  /** The CPUs are about to stand still: a channel that is cut is not taken up again before `release`. Idempotent. */
  hold(vmId: string): void {
    const session = this.#sessions.get(vmId);
    if (session !== undefined) session.still ??= Promise.withResolvers();
  }

  /** The CPUs run again. Idempotent. */
  release(vmId: string): void {
    const session = this.#sessions.get(vmId);
    session?.still?.resolve();
    if (session !== undefined) session.still = undefined;
  }

  #adopt(machine: Machine, agent: GuestAgent | undefined, still: Watched["still"]): Session {
    const session: Watched = {
      ...{ machine, still, agent: pending, ending: false, why: undefined, cutsMs: [] },
      ended: new AbortController(),
      over: new AbortController(),
    };
    session.agent = agent === undefined ? this.#reconnect(session) : Promise.resolve(agent);
    this.#sessions.set(machine.vmId, session);
    void machine.exited.then((exit) => this.#ended(session, exit.reason));
    this.#watchAgent(session);
    return session;
  }

  async #reconnect(session: Watched): Promise<GuestAgent> {
    const { signal } = session.over;
    if (session.still !== undefined) await orAborted(session.still.promise, signal);
    try {
      return await this.#events.reconnect(session.machine, { signal });
    } catch (error) {
      // The channel of a machine that ends breaks, too.
      throw (await this.#whyLost(session)) ?? error;
    }
  }

  /** Forgets a machine that a verb has ended. */
  drop(vmId: string): void {
    this.#sessions.delete(vmId);
  }

  /** Ends all machines and lets go of them. */
  async endAll(): Promise<void> {
    this.#closed = true;
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.all(
      sessions.map(async (session) => {
        const why = new BangerError("cancelled", "the VM was ended with its home");
        await endMachine(session, why);
        await this.#letGo(session, why);
      }),
    );
  }

  /** Lets go of all machines; they go on running. */
  async close(): Promise<void> {
    this.#closed = true;
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    const why = new BangerError("daemon.shutting-down", "the daemon is stopping");
    await Promise.all(sessions.map((session) => this.#letGo(session, why)));
  }

  async #ended(session: Watched, reason: string): Promise<void> {
    const { vmId } = session.machine;
    // Told at once: later, the record may speak of the VM's next machine.
    if (!this.#closed && this.#sessions.get(vmId) === session) {
      this.#sessions.delete(vmId);
      this.#tell(vmId, () => this.#events.onExit(vmId, session.ending ? "" : reason));
    }
    await this.#letGo(session, session.why ?? this.#events.whyEnded(vmId, reason));
  }

  /** Why calls to the guest failed whose channel broke; undefined: its machine runs on. */
  async #whyLost(session: Watched): Promise<BangerError | undefined> {
    const { signal } = session.over;
    if (session.why === undefined && !signal.aborted) {
      await delay(endSeenMs, undefined, { signal, ref: false }).catch(() => {});
    }
    return session.why ?? (signal.aborted ? toBangerError(signal.reason) : undefined);
  }

  #watchAgent(session: Watched): void {
    const { machine, cutsMs } = session;
    const { vmId } = machine;
    session.agent
      .then(async (agent) => {
        agent.whenLost(() => this.#whyLost(session));
        const end = await agent.closed;
        if (!this.#isCurrent(session)) return;
        if (end.protocol) throw new BangerError("guest.protocol", end.reason);
        const nowMs = performance.now();
        cutsMs.push(nowMs);
        if (cutsMs.length > maxReconnects && nowMs - (cutsMs.shift() ?? 0) < reconnectWindowMs) {
          throw new BangerError(
            "guest.unreachable",
            `the control channel was cut ${maxReconnects + 1} times within ${reconnectWindowMs / 1000} s: ${end.reason}`,
          );
        }
        this.#log.warn("control channel was cut; reconnecting", { vm: vmId, reason: end.reason });
        session.agent = this.#reconnect(session);
        this.#watchAgent(session);
      })
      .catch((error: unknown) => {
        if (!this.#isCurrent(session)) return;
        this.#tell(vmId, () => this.#events.onBroken(vmId, toBangerError(error).message));
      });
  }

  /** A record that cannot be written now (a full disk) must not end the daemon: its next start puts it right. */
  #tell(vmId: string, event: () => void): void {
    try {
      event();
    } catch (error) {
      this.#log.error("what became of a VM could not be recorded", { vm: vmId, error });
    }
  }

  #isCurrent(session: Watched): boolean {
    return !this.#closed && !session.ending && this.#sessions.get(session.machine.vmId) === session;
  }

  async #letGo(session: Watched, why: BangerError): Promise<void> {
    session.ended.abort(why);
    session.over.abort(why);
    const agent = await session.agent.catch(() => undefined);
    await agent?.[Symbol.asyncDispose]();
    await session.machine[Symbol.asyncDispose]();
  }
}

/** Of an agent that nobody has seen yet. */
const pending = new Promise<never>(() => {});
