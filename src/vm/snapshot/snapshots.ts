// All snapshots of one home: finds what is meant, takes locks, runs the verb, shows the record.
import type { ParamsOf, ResultOf } from "../../api/methods.ts";
import type { SnapshotRecord, VmRecord } from "../../api/records.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError } from "../../lib/errors.ts";
import { newId } from "../../lib/ids.ts";
import type { Progress } from "../../lib/progress.ts";
import type { SnapshotRow } from "../../state/snapshots.ts";
import type { VmRow } from "../../state/vms.ts";
import type { VmContext } from "../context.ts";
import { findVm } from "../reference.ts";
import { compactSnapshot } from "./compact.ts";
import { forkAll, forkMeanwhile, forkNames } from "./fork.ts";
import { createFromSnapshot } from "./create-from.ts";
import { originOf } from "./origin.ts";
import { snapshotRecord } from "./record.ts";
import { checkSnapshotName, findSnapshot, isListed, numberedName, type NamedSnapshot } from "./reference.ts";
import { checkOwn, restoreInPlace } from "./restore-in-place.ts";
import { sweepSnapshots } from "./sweep.ts";
import { takeSnapshot } from "./take.ts";
import type { Taking } from "./taking.ts";
import { warmImage } from "./warm.ts";

export class Snapshots {
  readonly #context: VmContext;
  readonly #showVm: (id: string) => VmRecord;
  readonly #closing = new AbortController();
  readonly #background = new Set<Promise<void>>();

  constructor(context: VmContext, showVm: (id: string) => VmRecord) {
    this.#context = context;
    this.#showVm = showVm;
  }

  /** Ends what goes on in the background; it is taken up again when it is needed. */
  async close(): Promise<void> {
    this.#closing.abort(new BangerError("cancelled", "the daemon ends"));
    await Promise.all(this.#background);
  }

  async create(params: ParamsOf<"snapshot.create">, progress: Progress): Promise<SnapshotRecord> {
    if (params.name !== undefined) checkSnapshotName(params.name);
    const found = this.#findVm(params.vm);
    using _lock = await this.#context.locks.acquire(found.id, progress.signal);
    const row = this.#currentVm(found);
    const name = params.name ?? this.#freeName(row.name);
    const id = await this.#holding(newId(), async (held) => {
      return (await takeSnapshot(this.#context, row, { id: held, name, warm: false, progress })).id;
    });
    this.#compactSoon(id);
    return this.show(id);
  }

  /** Newest first; of one VM, which may be gone, by its name or id. */
  list(vm?: string): SnapshotRecord[] {
    const rows = this.#rows().filter(isListed);
    const wanted = vm === undefined ? rows : rows.filter(this.#ofVm(vm, rows));
    return wanted.map((row) => snapshotRecord(this.#context, row));
  }

  show(reference: string): SnapshotRecord {
    return snapshotRecord(this.#context, this.#find(reference));
  }

  /** Nobody can ask for it any more; memory goes at once, disks when nothing rests on them. */
  async delete(reference: string, _options: { signal: AbortSignal }): Promise<void> {
    this.#context.state.snapshots.update(this.#find(reference).id, { name: null });
    crashPoint("snapshot.name-removed");
    await sweepSnapshots(this.#context);
  }

  async restore(vm: string, reference: string, progress: Progress): Promise<VmRecord> {
    const found = this.#findVm(vm);
    using _lock = await this.#context.locks.acquire(found.id, progress.signal);
    const row = this.#currentVm(found);
    const snapshot = this.#find(reference);
    checkOwn(row, snapshot);
    await this.#holding(snapshot.id, async () => {
      const origin = await originOf(this.#context, snapshot, { signal: progress.signal });
      await restoreInPlace(this.#context, row, origin, progress);
    });
    return this.#showVm(row.id);
  }

  async fork(params: ParamsOf<"vm.fork">, progress: Progress): Promise<ResultOf<"vm.fork">> {
    const source = this.#forkSource(params.source);
    const { count = 1, name } = params;
    const stem = "vm" in source ? source.vm.name : source.snapshot.name;
    const names = forkNames(this.#context, { name, count, stem });
    if ("snapshot" in source) return await this.#forkSnapshot(source.snapshot, names, 0, progress);
    return await this.#holding(newId(), async (id) => {
      const take = (taking: Taking) => this.#takeForFork(source.vm, { id, taking }, progress);
      const { snapshot, rows } = await forkMeanwhile(this.#context, take, names, progress);
      const result =
        rows === undefined
          ? await this.#forkSnapshot(snapshot, names, snapshot.pausedMs, progress)
          : { vms: rows.map((row) => this.#showVm(row.id)), pausedMs: snapshot.pausedMs };
      this.#compactSoon(id);
      return result;
    });
  }

  /** `vm.create` with `from`. */
  async createVm(
    params: ParamsOf<"vm.create"> & { from: string },
    progress: Progress,
    onNamed?: (name: string) => void,
  ): Promise<VmRow> {
    const snapshot = this.#find(params.from);
    return await this.#holding(snapshot.id, async () =>
      createFromSnapshot(this.#context, snapshot, params, progress, onNamed),
    );
  }

  async warm(params: ParamsOf<"image.warm">, progress: Progress): Promise<SnapshotRecord> {
    if (params.name !== undefined) {
      checkSnapshotName(params.name);
      if (this.#context.state.snapshots.byName(params.name) !== undefined) throw nameTaken(params.name);
    }
    const name = params.name ?? this.#freeName(params.image);
    const id = await this.#holding(newId(), async (held) => {
      return (await warmImage(this.#context, params, { id: held, name }, progress)).id;
    });
    return this.show(id);
  }

  async #forkSnapshot(
    snapshot: SnapshotRow,
    names: readonly (() => string)[],
    pausedMs: number,
    progress: Progress,
  ): Promise<ResultOf<"vm.fork">> {
    return await this.#holding(snapshot.id, async () => {
      const origin = await originOf(this.#context, snapshot, { signal: progress.signal });
      const rows = await forkAll(this.#context, origin, names, progress);
      return { vms: rows.map((row) => this.#showVm(row.id)), pausedMs };
    });
  }

  /** The source is free again as soon as its snapshot is taken. */
  async #takeForFork(found: VmRow, request: { id: string; taking: Taking }, progress: Progress): Promise<SnapshotRow> {
    using _lock = await this.#context.locks.acquire(found.id, progress.signal);
    return await takeSnapshot(this.#context, this.#currentVm(found), { ...request, name: null, warm: false, progress });
  }

  /** Runs `body` with files of the snapshot that nobody removes meanwhile. */
  async #holding<T>(id: string, body: (id: string) => Promise<T>): Promise<T> {
    try {
      using _pin = this.#context.pins.hold(id);
      return await body(id);
    } finally {
      await sweepSnapshots(this.#context);
    }
  }

  #compactSoon(id: string): void {
    const { log } = this.#context;
    const { signal } = this.#closing;
    const work = compactSnapshot(this.#context, id, { signal }).catch((error: unknown) => {
      if (!signal.aborted) log.warn("the layers of a snapshot could not be merged", { snapshot: id, error });
    });
    this.#background.add(work);
    void work.finally(() => this.#background.delete(work));
  }

  /** A VM, else a snapshot; a name that both have means neither. */
  #forkSource(reference: string): { vm: VmRow } | { snapshot: NamedSnapshot } {
    const vms = this.#context.state.vms.list();
    const vm = vms.find((row) => row.name === reference || row.id === reference);
    const snapshot = this.#rows()
      .filter(isListed)
      .find((row) => row.name === reference || row.id === reference);
    if (vm !== undefined && snapshot !== undefined) {
      throw new BangerError("snapshot.ambiguous", `"${reference}" is a VM and a snapshot`, {
        hint: `banger vm fork ${vm.id}  # the VM; or the snapshot: banger vm fork ${snapshot.id}`,
      });
    }
    if (vm !== undefined) return { vm };
    if (snapshot !== undefined) return { snapshot };
    const isPrefix = (row: { id: string; name: string }) =>
      row.name.startsWith(reference) || row.id.startsWith(reference);
    if (vms.some(isPrefix) || !this.#rows().filter(isListed).some(isPrefix)) return { vm: findVm(vms, reference) };
    return { snapshot: this.#find(reference) };
  }

  #ofVm(reference: string, rows: readonly NamedSnapshot[]): (row: NamedSnapshot) => boolean {
    if (rows.some((row) => row.vmName === reference || row.vmId === reference)) {
      return (row) => row.vmName === reference || row.vmId === reference;
    }
    const { id } = this.#findVm(reference);
    return (row) => row.vmId === id;
  }

  #freeName(stem: string): string {
    return numberedName(stem, (name) => this.#context.state.snapshots.byName(name) !== undefined);
  }

  #find(reference: string): NamedSnapshot {
    return findSnapshot(this.#rows(), reference);
  }

  #findVm(reference: string): VmRow {
    return findVm(this.#context.state.vms.list(), reference);
  }

  /** The record as it is once its lock is held. Throws `vm.not-found`. */
  #currentVm({ id, name }: VmRow): VmRow {
    const now = this.#context.state.vms.get(id);
    if (now !== undefined) return now;
    throw new BangerError("vm.not-found", `VM "${name}" was deleted`, { hint: "banger vm list" });
  }

  #rows(): SnapshotRow[] {
    return this.#context.state.snapshots.list();
  }
}

function nameTaken(name: string): BangerError {
  return new BangerError("snapshot.name-taken", `a snapshot named "${name}" exists already`, {
    hint: `banger vm snapshot show ${name}`,
  });
}
