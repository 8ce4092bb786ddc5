// Ends VMs whose time is over, or in which nothing went on for too long: each by the operation that a user would have called.
import type { Lifetime, VmRecord } from "../api/records.ts";
import type { Logger } from "../lib/log.ts";
import type { Operations } from "./operations.ts";
import type { Vms } from "./services.ts";

/** The wall clock can be set, and the host can sleep: what is due is looked at anew at least this often. */
const longestWaitMs = 60_000;
/** An action that failed is not tried again before. */
const retryMs = 60_000;

type Action = Lifetime["action"];

export interface LifetimesOptions {
  vms: Pick<Vms, "list" | "show" | "stop" | "pause" | "delete" | "activity" | "onChange">;
  operations: Pick<Operations, "start" | "ended">;
  log: Logger;
  /** Milliseconds since 1970. Default: Date.now. */
  now?: () => number;
}

/** At work from its making until it is disposed of. */
export class Lifetimes implements Disposable {
  readonly #options: Required<LifetimesOptions>;
  /** Those that have one: few, while what goes on in VMs is told for all. */
  readonly #mortal = new Map<string, VmRecord>();
  /** When those that came up since the daemon started did so: a VM that was resumed has not been idle while it was paused. */
  readonly #upAt = new Map<string, number>();
  readonly #notBefore = new Map<string, number>();
  readonly #acting = new Set<string>();
  readonly #stack = new DisposableStack();
  readonly #startedAt: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LifetimesOptions) {
    this.#options = { now: Date.now, ...options };
    const { vms, now } = this.#options;
    // What went on while no daemon ran is not known: no VM is idle for longer than its daemon lives.
    this.#startedAt = now();
    for (const vm of vms.list()) this.#keep(vm);
    this.#stack.use(vms.activity.listen((id) => this.#mortal.has(id) && this.#plan()));
    this.#stack.use(vms.onChange((id) => this.#changed(id)));
    this.#plan();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#stack.dispose();
    this.#mortal.clear();
  }

  #changed(id: string): void {
    const before = this.#mortal.get(id);
    this.#mortal.delete(id);
    try {
      this.#keep(this.#options.vms.show(id));
    } catch {
      // It was deleted.
      this.#upAt.delete(id);
      this.#notBefore.delete(id);
    }
    if (before?.state !== "running" && this.#mortal.get(id)?.state === "running") {
      this.#upAt.set(id, this.#options.now());
    }
    if (before !== undefined || this.#mortal.has(id)) this.#plan();
  }

  #keep(vm: VmRecord): void {
    if (vm.lifetime !== null) this.#mortal.set(vm.id, vm);
  }

  /** When the VM's time is over; undefined: never, or not as long as it is used. */
  dueAt(vm: VmRecord): number | undefined {
    return this.#end(vm)?.at;
  }

  #end(vm: VmRecord): { at: number; why: string } | undefined {
    if (vm.lifetime === null) return undefined;
    const { ttlMs, idleTimeoutMs, action } = vm.lifetime;
    const isUp = vm.state === "running";
    // What does not run needs no end but its deletion.
    const ends: { at: number; why: string }[] = [];
    if (ttlMs !== null && (isUp || (action === "delete" && atRest.has(vm.state)))) {
      ends.push({ at: vm.createdAt + ttlMs, why: "its time is over (--ttl)" });
    }
    if (idleTimeoutMs !== null && isUp && this.#options.vms.activity.open(vm.id) === 0) {
      ends.push({ at: this.#idleSince(vm) + idleTimeoutMs, why: "nothing went on in it (--idle-timeout)" });
    }
    const [first] = ends.toSorted((one, other) => one.at - other.at);
    return first && { ...first, at: Math.max(first.at, this.#notBefore.get(vm.id) ?? 0) };
  }

  #idleSince(vm: VmRecord): number {
    const lastAt = this.#options.vms.activity.lastAt(vm.id);
    return Math.max(this.#startedAt, vm.startedAt ?? 0, vm.lastUsedAt ?? 0, lastAt ?? 0, this.#upAt.get(vm.id) ?? 0);
  }

  #plan(): void {
    clearTimeout(this.#timer);
    const waiting = [...this.#mortal.values()].filter(({ id }) => !this.#acting.has(id));
    const times = waiting.map((vm) => this.dueAt(vm)).filter((time) => time !== undefined);
    if (times.length === 0) return;
    const waitMs = Math.min(Math.max(0, Math.min(...times) - this.#options.now()), longestWaitMs);
    this.#timer = setTimeout(() => this.#look(), waitMs);
    this.#timer.unref();
  }

  #look(): void {
    for (const vm of this.#mortal.values()) {
      const end = this.#end(vm);
      if (end === undefined || vm.lifetime === null || end.at > this.#options.now() || this.#acting.has(vm.id))
        continue;
      void this.#act(vm, vm.lifetime.action, end.why);
    }
    this.#plan();
  }

  async #act(vm: VmRecord, action: Action, why: string): Promise<void> {
    const { vms, operations, log, now } = this.#options;
    this.#acting.add(vm.id);
    log.info("a VM's time is over", { vm: vm.id, action, why, lifetime: vm.lifetime });
    try {
      const operation = operations.start(`vm.${action}`, vm.name, async (progress): Promise<VmRecord | undefined> => {
        progress.stage(action, why);
        if (action === "pause") return await vms.pause(vm.id, { keepRunning: false }, progress);
        if (action === "stop") return await vms.stop(vm.id, progress, { reason: why });
        await vms.delete(vm.id, progress);
        return undefined;
      });
      const { error } = await operations.ended(operation.id);
      if (error !== null && error.code !== "vm.not-found") {
        log.warn("a VM whose time is over could not be ended", { vm: vm.id, action, error: error.message });
        this.#notBefore.set(vm.id, now() + retryMs);
      }
    } catch (error) {
      log.error("a VM whose time is over could not be ended", { vm: vm.id, action, error });
      this.#notBefore.set(vm.id, now() + retryMs);
    } finally {
      this.#acting.delete(vm.id);
      this.#plan();
    }
  }
}

const atRest: ReadonlySet<VmRecord["state"]> = new Set(["created", "stopped", "paused", "broken"]);
