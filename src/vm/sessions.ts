// Machines that run now, each with its agent. Watches both: a machine that ends by itself becomes "stopped" with the
// reason, a guest that breaks the rules of the control channel becomes "broken".
import type { GuestAgent } from "../guest/agent.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Machine } from "../vmm/driver.ts";

export interface Session {
  readonly machine: Machine;
  /** The agent, or the error why there is none. Replaced after a reconnect. */
  agent: Promise<GuestAgent>;
  /** Set by a verb that ends the machine itself: then the watcher stays out of the way. */
  ending: boolean;
}

export interface SessionEvents {
  /** The machine ended and no verb had asked for it. */
  onExit(vmId: string, reason: string): void;
  /** The guest broke the control channel's rules, or does not answer any more. */
  onBroken(vmId: string, reason: string): void;
  /** Opens a new agent session on the machine after the old one was cut. */
  reconnect(vmId: string, machine: Machine): Promise<GuestAgent>;
}

export class Sessions {
  readonly #sessions = new Map<string, Session>();
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

  /** Takes over a running machine. */
  adopt(machine: Machine, agent: Promise<GuestAgent>): Session {
    const session: Session = { machine, agent, ending: false };
    this.#sessions.set(machine.vmId, session);
    void machine.exited.then(async (exit) => {
      if (this.#sessions.get(machine.vmId) === session) this.#sessions.delete(machine.vmId);
      await this.#letGo(session);
      if (!session.ending && !this.#closed) this.#events.onExit(machine.vmId, exit.reason);
    });
    this.#watchAgent(session);
    return session;
  }

  /** Forgets a machine that a verb has ended. */
  drop(vmId: string): void {
    this.#sessions.delete(vmId);
  }

  /** Lets go of all machines; they go on running. */
  async close(): Promise<void> {
    this.#closed = true;
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.all(sessions.map((session) => this.#letGo(session)));
  }

  #watchAgent(session: Session): void {
    const { machine } = session;
    const watched = session.agent;
    void watched
      .then(async (agent) => {
        const end = await agent.closed;
        if (!this.#isCurrent(session) || session.agent !== watched) return;
        if (end.protocol) throw new BangerError("guest.protocol", end.reason);
        this.#log.warn("control channel was cut; reconnecting", { vm: machine.vmId, reason: end.reason });
        session.agent = this.#events.reconnect(machine.vmId, machine);
        this.#watchAgent(session);
      })
      .catch((error: unknown) => {
        if (this.#isCurrent(session)) this.#events.onBroken(machine.vmId, toBangerError(error).message);
      });
  }

  #isCurrent(session: Session): boolean {
    return !this.#closed && !session.ending && this.#sessions.get(session.machine.vmId) === session;
  }

  async #letGo(session: Session): Promise<void> {
    const agent = await session.agent.catch(() => undefined);
    await agent?.[Symbol.asyncDispose]();
    await session.machine[Symbol.asyncDispose]();
  }
}
