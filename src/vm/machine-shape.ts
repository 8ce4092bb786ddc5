// What of a VM's spec its machine has: a change of CPUs and memory is for the next one, and memory fits only a machine like its own.
import type { StartRecord, VmSpec } from "../api/records.ts";
import type { VmRow } from "../state/vms.ts";

/** A start of a machine with this spec. */
export function startOf(record: StartRecord, { vcpus, memoryMib }: VmSpec): StartRecord {
  return { ...record, machine: { vcpus, memoryMib } };
}

/** The row of a VM that runs or is paused, with the spec that its machine has. */
export function asStarted<R extends Pick<VmRow, "spec" | "lastStart">>(row: R): R {
  return { ...row, spec: { ...row.spec, ...row.lastStart?.machine } };
}
