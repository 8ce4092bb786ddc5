// New VMs from one snapshot: all of them or none.
import { availableParallelism } from "node:os";
import { vmPaths } from "../../config/paths.ts";
import { orAborted } from "../../lib/abort.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { removeInside } from "../../lib/files.ts";
import type { Progress } from "../../lib/progress.ts";
import { undone } from "../../lib/undo.ts";
import type { SnapshotRow } from "../../state/snapshots.ts";
import type { VmRow } from "../../state/vms.ts";
import type { VmContext } from "../context.ts";
import { removeVm } from "../remove.ts";
import { checkName } from "../spec.ts";
import { goOnFrom } from "./go-on.ts";
import type { Origin } from "./origin.ts";
import { numberedName } from "./reference.ts";
import { makeSuccessor } from "./successor.ts";
import { Taking } from "./taking.ts";

/** More at once only wait for each other. */
const parallelForks = () => 2 * availableParallelism();

/**
 * What forks are to be called, one function for each: the name given, with a number when there are several; else the first
 * `<stem>-fork-<n>` that is free when it is asked for. Throws `vm.name-invalid`, `vm.name-taken`.
 */
export function forkNames(
  context: Pick<VmContext, "state">,
  request: { name?: string | undefined; count: number; stem: string },
): (() => string)[] {
  const { count, name, stem } = request;
  const isTaken = (wanted: string) => context.state.vms.byName(wanted) !== undefined;
  return Array.from({ length: count }, (_, index) => {
    if (name === undefined) return () => numberedName(`${stem}-fork`, isTaken);
    const full = count === 1 ? name : `${name}-${index + 1}`;
    checkName(full, `banger vm fork ${stem} --name`);
    if (isTaken(full)) {
      throw new BangerError("vm.name-taken", `a VM named "${full}" exists already`, {
        hint: `banger vm show ${full}  # or: banger vm delete ${full}`,
      });
    }
    return () => full;
  });
}

/**
 * Makes and starts one VM for each name; the caller holds the origin's snapshot. Returns their rows, all running, in the order of
 * the names. When one cannot be, the others are removed, too, and the first error is thrown. Until the last one runs they count as VMs that go with their
 * client, so that the next daemon removes them if this one is killed.
 */
export async function forkAll(
  context: VmContext,
  origin: Origin,
  names: readonly (() => string)[],
  progress: Progress,
): Promise<VmRow[]> {
  const made = new Map<number, VmRow>();
  const stop = new AbortController();
  const signal = AbortSignal.any([progress.signal, stop.signal]);
  let running = 0;
  const one: Progress = {
    signal,
    bytes() {},
    stage: (name, detail) => {
      if (name === "ready") running++;
      if (names.length === 1) progress.stage(name, detail);
      else progress.stage("fork", `${running} of ${names.length}`);
    },
  };
  const { taking, ...complete } = origin;
  const left = names.entries();
  const worker = async () => {
    for (const [at, name] of left) {
      const request = { snapshot: origin.snapshot, name, state: "starting", autoRemove: true } as const;
      using successor = await makeSuccessor(context, request, { signal });
      made.set(at, successor.row);
      // While the source stands still one machine may start: more would only hold it up.
      if (at > 0 && taking !== undefined) await orAborted(taking.taken, signal);
      await goOnFrom(context, successor.row, at > 0 ? complete : origin, one, { keep: names.length === 1 });
    }
  };
  const guarded = () =>
    worker().catch((error: unknown) => {
      stop.abort(error);
      throw error;
    });
  const settled = await Promise.allSettled(Array.from({ length: Math.min(parallelForks(), names.length) }, guarded));
  try {
    // The one that failed first is the reason why the others were stopped.
    if (settled.some((each) => each.status === "rejected")) throw stop.signal.reason;
    if (taking !== undefined) await orAborted(taking.taken, progress.signal);
    progress.signal.throwIfAborted();
    crashPoint("fork.all-running");
    context.state.transaction(() => {
      for (const { id } of made.values()) {
        if (context.state.vms.get(id)?.autoRemove === true) context.state.vms.update(id, { autoRemove: false });
      }
    });
    crashPoint("fork.kept");
  } catch (failure) {
    // A snapshot that fails, too, gives room back, without which records cannot be removed from a full disk.
    await taking?.taken.catch(() => {});
    const thrown = await undone(failure, ...[...made.values()].map((row) => () => removeOne(context, row)));
    const error = toBangerError(thrown);
    throw names.length === 1 || error.code === "cancelled"
      ? thrown
      : new BangerError(error.code, `one of ${names.length} forks failed, so none was kept: ${error.message}`, {
          cause: thrown,
          ...(error.hint === undefined ? {} : { hint: error.hint }),
        });
  }
  const inOrder = [...made].toSorted(([at], [other]) => at - other);
  return inOrder.flatMap(([, row]) => context.state.vms.get(row.id) ?? []);
}

async function removeOne(context: VmContext, row: VmRow): Promise<void> {
  using _lock = await context.locks.acquire(row.id, neverAborted);
  const now = context.state.vms.get(row.id);
  if (now !== undefined) await removeFork(context, now);
}

/** On a full disk, records can only be removed when the files have given room back. */
async function removeFork(context: VmContext, row: VmRow): Promise<void> {
  try {
    await removeVm(context, row);
  } catch (error) {
    if (toBangerError(error).code !== "disk.full") throw error;
    // Its machine has ended. If the daemon ends now, the next one removes a record of a VM that goes with its client.
    await removeInside(context.paths.vmsDir, vmPaths(context.paths, row.id).dir);
    context.state.vms.remove(row.id);
  }
}

/**
 * Forks a VM while its snapshot is being taken: `take` takes it, and tells `Taking` how far it is. What can only be done with the
 * whole snapshot is left to the caller: then `rows` is undefined. When either fails, nothing is left of the forks, and the snapshot
 * is its maker's. Throws what `take` throws, else as `forkAll` does.
 */
export async function forkMeanwhile(
  context: VmContext,
  take: (taking: Taking) => Promise<SnapshotRow>,
  names: readonly (() => string)[],
  progress: Progress,
): Promise<{ snapshot: SnapshotRow; rows: VmRow[] | undefined }> {
  const taking = new Taking({ forOne: names.length === 1 });
  const snapshotTaken = take(taking).then(
    (snapshot) => {
      taking.end();
      return snapshot;
    },
    (error: unknown) => {
      taking.end(error);
      throw error;
    },
  );
  const forked = taking.begun.then((origin) => origin && forkAll(context, origin, names, progress));
  forked.catch((error: unknown) => taking.withdraw(error));
  const [snapshot, rows] = await Promise.allSettled([snapshotTaken, forked]);
  // A fork that ends takes the memory that is given to it along: then the snapshot fails only for that. When the snapshot fails first, both
  // errors are the same.
  if (taking.handsOver && rows.status === "rejected") throw rows.reason;
  if (snapshot.status === "rejected") throw snapshot.reason;
  if (rows.status === "rejected") throw rows.reason;
  return { snapshot: snapshot.value, rows: rows.value };
}

const neverAborted = new AbortController().signal;
