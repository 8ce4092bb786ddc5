// VMs that live only as long as a client holds them (`vm run --rm`): deleted when the last holder has gone, whatever the reason.
import type { Operation, VmRecord } from "../api/records.ts";
import type { Logger } from "../lib/log.ts";
import type { Operations } from "./operations.ts";
import type { Vms } from "./services.ts";

/** How long a finished autoRemove VM waits for its first holder. */
const firstHolderMs = 30_000;

export class Holds {
  readonly #operations: Operations;
  readonly #vms: Vms;
  readonly #log: Logger;
  /** Holders by operation id, or by VM id for VMs that are held by name. */
  readonly #holders = new Map<string, number>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #deletions = new Set<Promise<void>>();
  readonly #waitMs: number;

  constructor(operations: Operations, vms: Vms, log: Logger, waitMs = firstHolderMs) {
    this.#operations = operations;
    this.#vms = vms;
    this.#log = log;
    this.#waitMs = waitMs;
  }

  /** To be told of each vm.create that was started: the VM is deleted when nobody holds it in time. */
  created(operation: Operation): void {
    void this.#operations.ended(operation.id).then((ended) => {
      const record = recordOf(ended);
      if (record?.autoRemove !== true || this.#isHeld(record.id)) return;
      const timer = setTimeout(() => {
        this.#timers.delete(operation.id);
        if (!this.#isHeld(record.id)) this.#release(record.id, "nobody came to hold it");
      }, this.#waitMs);
      timer.unref();
      this.#timers.set(operation.id, timer);
    });
  }

  /** Holds until the signal aborts. `reference` is an operation id, or a VM's name or id. */
  async *hold(reference: string, options: { signal: AbortSignal }): AsyncGenerator<{ held: boolean }> {
    const key = this.#key(reference);
    this.#holders.set(key, (this.#holders.get(key) ?? 0) + 1);
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    try {
      yield { held: true };
      await aborted(options.signal);
    } finally {
      const left = (this.#holders.get(key) ?? 1) - 1;
      if (left > 0) this.#holders.set(key, left);
      else {
        this.#holders.delete(key);
        this.#track(this.#drop(key));
      }
    }
  }

  /** Resolves when every deletion that is under way has ended. */
  async settled(): Promise<void> {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await Promise.all(this.#deletions);
  }

  #key(reference: string): string {
    return reference.startsWith("op-") ? this.#operations.show(reference).id : this.#vms.show(reference).id;
  }

  /** Whether somebody holds the VM, by its own id or by the operation that made it. */
  #isHeld(vmId: string): boolean {
    const holds = (key: string) => key.startsWith("op-") && recordOf(this.#operations.find(key))?.id === vmId;
    return this.#holders.has(vmId) || [...this.#holders.keys()].some(holds);
  }

  /** What was held by this key has no holder any more. */
  async #drop(key: string): Promise<void> {
    let vmId = key;
    if (key.startsWith("op-")) {
      this.#operations.cancel(key);
      const record = recordOf(await this.#operations.ended(key));
      // Without a record the creation failed or was cancelled: it has undone itself.
      if (record === undefined) return;
      vmId = record.id;
    }
    if (this.#isHeld(vmId)) return;
    await this.#delete(vmId, "its holder has gone");
  }

  #release(vmId: string, reason: string): void {
    this.#track(this.#delete(vmId, reason));
  }

  async #delete(vmId: string, reason: string): Promise<void> {
    const record = this.#vms.list().find((vm) => vm.id === vmId);
    if (record === undefined || !record.autoRemove) return;
    this.#log.info("deleting a VM", { vm: vmId, reason });
    const operation = this.#operations.start("vm.delete", record.name, (progress) => this.#vms.delete(vmId, progress));
    const ended = await this.#operations.ended(operation.id);
    if (ended.error !== null && ended.error.code !== "vm.not-found") {
      this.#log.error("a VM that nobody holds could not be deleted", { vm: vmId, error: ended.error });
    }
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#log.error("letting go of a VM failed", { error }))
      .finally(() => this.#deletions.delete(tracked));
    this.#deletions.add(tracked);
  }
}

function recordOf(operation: Operation | undefined): VmRecord | undefined {
  return operation?.error === null && operation.done ? (operation.result as VmRecord) : undefined;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve(), { once: true });
  return promise;
}
