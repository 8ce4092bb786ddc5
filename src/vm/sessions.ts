// Machines that run now, each with its agent. Watches both: a machine that ends by itself becomes "stopped" with the
// reason, a guest that breaks the rules of the control channel becomes "broken".
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
}

/** Ends the machine of a session for a verb. Calls to its guest that are under way fail with `guest.unreachable` and `why`. */
export async function endMachine(session: Session, why: string): Promise<void> {
  session.ending = true;
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
  /** Opens an agent session on a machine that runs already. */
  reconnect(machine: Machine, options: { signal: AbortSignal }): Promise<GuestAgent>;
}

/** A guest that cuts its channel again and again is broken: this often within this time it is taken up again. */
const maxReconnects = 5;
const reconnectWindowMs = 60_000;

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
    const parts = { machine, over: new AbortController(), still };
    const session: Watched = {
      ...parts,
      agent: agent === undefined ? this.#reconnect(parts) : Promise.resolve(agent),
      ending: false,
      cutsMs: [],
    };
    this.#sessions.set(machine.vmId, session);
    void machine.exited.then((exit) => this.#ended(session, exit.reason));
    this.#watchAgent(session);
    return session;
  }

  async #reconnect(session: Pick<Watched, "machine" | "over" | "still">): Promise<GuestAgent> {
    const { signal } = session.over;
    if (session.still !== undefined) await orAborted(session.still.promise, signal);
    return await this.#events.reconnect(session.machine, { signal });
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
        await session.machine.kill();
        await this.#letGo(session);
      }),
    );
  }

  /** Lets go of all machines; they go on running. */
  async close(): Promise<void> {
    this.#closed = true;
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.all(sessions.map((session) => this.#letGo(session)));
  }

  async #ended(session: Watched, reason: string): Promise<void> {
    const { vmId } = session.machine;
    // Told at once: later, the record may speak of the VM's next machine.
    if (!this.#closed && this.#sessions.get(vmId) === session) {
      this.#sessions.delete(vmId);
      this.#tell(vmId, () => this.#events.onExit(vmId, session.ending ? "" : reason));
    }
    await this.#letGo(session);
  }

  #watchAgent(session: Watched): void {
    const { machine, cutsMs } = session;
    const { vmId } = machine;
    session.agent
      .then(async (agent) => {
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

  async #letGo(session: Watched): Promise<void> {
    session.over.abort(new BangerError("cancelled", "the daemon lets go of the VM"));
    const agent = await session.agent.catch(() => undefined);
    await agent?.[Symbol.asyncDispose]();
    await session.machine[Symbol.asyncDispose]();
  }
}
