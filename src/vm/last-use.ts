// When a VM was last used: known in memory to the instant, in the record to the minute.
import type { Params } from "../api/method.ts";
import type { Methods } from "../api/methods.ts";
import type { VmRow, VmTable } from "../state/vms.ts";
import type { Activity } from "./activity.ts";

/** Commands may follow each other quickly; each write is one to the disk. */
const coarseMs = 60_000;

/** Milliseconds since 1970; null when it was never used. */
export function lastUsed(row: VmRow, activity: Activity): number | null {
  const known = Math.max(row.lastUsedAt ?? 0, activity.lastAt(row.id) ?? 0);
  return known === 0 ? null : known;
}

/** Records the use of a VM when what is recorded is older than a minute; without an id that of all VMs, to the instant. */
export function keepUse(table: VmTable, activity: Activity, id?: string): void {
  const rows = id === undefined ? table.list() : [table.get(id)].filter((row) => row !== undefined);
  const stepMs = id === undefined ? 0 : coarseMs;
  for (const row of rows) {
    const lastUsedAt = lastUsed(row, activity);
    if (lastUsedAt !== null && lastUsedAt - (row.lastUsedAt ?? 0) > stepMs) table.update(row.id, { lastUsedAt });
  }
}

/** Counts as use now. `ttlMs`: the VM's age limit, if it has one or not, ends so many milliseconds from now. */
export function touchVm(table: VmTable, activity: Activity, row: VmRow, ttlMs: number | undefined): void {
  activity.touch(row.id);
  const nowMs = Date.now();
  const lifetime = { ttlMs: null, idleTimeoutMs: null, action: "stop" as const, ...row.lifetime };
  table.update(row.id, {
    lastUsedAt: nowMs,
    ...(ttlMs === undefined ? {} : { lifetime: { ...lifetime, ttlMs: nowMs - row.createdAt + ttlMs } }),
  });
}

/** What is asked for as it is recorded: null when nothing is. */
export function lifetimeOf(wanted: Params<Methods["vm.create"]>["lifetime"]): VmRow["lifetime"] {
  if (wanted?.ttlMs === undefined && wanted?.idleTimeoutMs === undefined) return null;
  return { ttlMs: wanted.ttlMs ?? null, idleTimeoutMs: wanted.idleTimeoutMs ?? null, action: wanted.action ?? "stop" };
}
