// What changes in the records of VMs, told to whoever listens. It is seen where the records are written, so no verb has to tell it.
import type { VmEvent } from "../api/vm-record-methods.ts";
import { BangerError } from "../lib/errors.ts";
import type { VmRow, VmTable } from "../state/vms.ts";

type Kind = Exclude<VmEvent["kind"], "subscribed">;
type Listener = (event: VmEvent, vmId: string) => void;

/** Events that wait for a listener that does not take them; then it is let go. */
const maxWaiting = 10_000;

export class VmChanges {
  readonly #table: VmTable;
  readonly #known: Map<string, VmRow>;
  readonly #listeners = new Set<Listener>();
  readonly #touched = new Set<string>();

  constructor(table: VmTable) {
    this.#table = table;
    this.#known = new Map(table.list().map((row) => [row.id, row]));
  }

  /** The same table; what is written through it is told. */
  observed(): VmTable {
    const table = this.#table;
    return {
      ...table,
      insert: (row) => {
        table.insert(row);
        this.#touch(row.id);
      },
      update: (id, change) => {
        const row = table.update(id, change);
        this.#touch(id);
        return row;
      },
      remove: (id) => {
        const removed = table.remove(id);
        this.#touch(id);
        return removed;
      },
    };
  }

  /** Calls back at every change of any VM, after it is in the database, until it is disposed. The listener must not throw. */
  listen(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Changes of one VM until it is deleted, or of all, from the first line ("subscribed") on, until the signal aborts. */
  async *watch(vmId: string | undefined, signal: AbortSignal): AsyncGenerator<VmEvent> {
    const waiting: VmEvent[] = [];
    let wake = Promise.withResolvers<void>();
    using _listener = this.listen((event, id) => {
      if (vmId !== undefined && id !== vmId) return;
      waiting.push(event);
      wake.resolve();
    });
    const onAbort = () => wake.resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      yield { at: Date.now(), kind: "subscribed", vm: null };
      while (!signal.aborted) {
        await wake.promise;
        wake = Promise.withResolvers();
        if (waiting.length > maxWaiting) {
          throw new BangerError("cancelled", `the client left ${maxWaiting} events waiting`);
        }
        for (let event = waiting.shift(); event !== undefined && !signal.aborted; event = waiting.shift()) {
          yield event;
          if (vmId !== undefined && event.kind === "deleted") return;
        }
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Transactions are synchronous: what is there in the next turn of the queue has come to stay. */
  #touch(id: string): void {
    if (this.#touched.size === 0) queueMicrotask(() => this.#compare());
    this.#touched.add(id);
  }

  #compare(): void {
    const ids = [...this.#touched];
    this.#touched.clear();
    for (const id of ids) {
      const before = this.#known.get(id);
      const now = this.#table.get(id);
      if (now === undefined) this.#known.delete(id);
      else this.#known.set(id, now);
      const row = now ?? before;
      if (row === undefined) continue;
      const { name, state, reason } = row;
      for (const kind of kindsOf(before, now)) {
        const event: VmEvent = { at: Date.now(), kind, vm: { id, name, state, reason } };
        for (const listener of this.#listeners) listener(event, id);
      }
    }
  }
}

function kindsOf(before: VmRow | undefined, now: VmRow | undefined): Kind[] {
  if (now === undefined) return before === undefined ? [] : ["deleted"];
  if (before === undefined) return ["created"];
  const same = (...fields: (keyof VmRow)[]) =>
    fields.every((field) => JSON.stringify(before[field]) === JSON.stringify(now[field]));
  const kinds: [Kind, boolean][] = [
    ["renamed", same("name")],
    ["labels", same("labels")],
    ["lifetime", same("lifetime")],
    ["forwards", same("forwards")],
    ["network", same("network")],
    ["spec", same("spec")],
    ["disks", same("baseSnapshotId", "diskEpoch")],
    ["state", same("state", "reason")],
  ];
  return kinds.flatMap(([kind, unchanged]) => (unchanged ? [] : [kind]));
}
