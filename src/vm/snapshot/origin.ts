// What a VM can go on from: the memory of a snapshot when it fits this host's VMM, kernel and agent, else its disks alone.
import type { SnapshotRow } from "../../state/snapshots.ts";
import type { MachineCapture } from "../../vmm/driver.ts";
import type { VmContext } from "../context.ts";
import { snapshotFiles } from "../disk-files.ts";
import { fingerprintOf } from "../fingerprint.ts";
import { machineSpec } from "../machine-spec.ts";
import type { Taking } from "./taking.ts";

export interface Origin {
  snapshot: SnapshotRow;
  /** Undefined: there is no memory that could be restored. */
  capture: MachineCapture | undefined;
  /** Why memory that is there is not used; else empty. */
  reason: string;
  /** The snapshot is being taken yet: how far it is. */
  taking?: Taking;
}

/** The caller holds the snapshot. Logs one line when there is memory that does not fit. */
export async function originOf(
  context: VmContext,
  snapshot: SnapshotRow,
  options: { signal: AbortSignal; cold?: boolean | undefined },
): Promise<Origin> {
  const { fingerprint, id } = snapshot;
  if (fingerprint === null) return { snapshot, capture: undefined, reason: "" };
  if (options.cold === true) return { snapshot, capture: undefined, reason: "it was asked for" };
  const spec = await machineSpec(context, { ...snapshot, baseSnapshotId: id, diskEpoch: 1 }, options);
  if ((await fingerprintOf(context.driver, spec, options)) !== fingerprint) {
    const reason = "the snapshot was taken with another VMM, processor, kernel or agent";
    context.log.warn("the memory of a snapshot does not fit: booting from its disks", { snapshot: id, reason });
    return { snapshot, capture: undefined, reason };
  }
  const { memoryFile, stateFile } = snapshotFiles(context.paths, id);
  return { snapshot, capture: { memoryFile, stateFile }, reason: "" };
}
