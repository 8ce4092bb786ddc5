// Where the writable disks of a VM and the frozen disks of a snapshot lie. A VM's record says which files are its disks, so a change
// of that record is the instant at which it gets others; what lies beside them is left over and removed.
import { join } from "node:path";
import { type Paths, vmPaths } from "../config/paths.ts";
import type { VmRow } from "../state/vms.ts";

/** Virtio serials by which the guest finds its disks. */
export const serials = { base: "base", overlay: "overlay", work: "work" } as const;
export const writableSerials = [serials.overlay, serials.work] as const;
export type WritableSerial = (typeof writableSerials)[number];

export interface DiskFile {
  path: string;
  format: "raw" | "qcow2";
}

export type DiskOwner = Pick<VmRow, "id" | "baseSnapshotId" | "diskEpoch">;

/** A writable disk of a VM: a whole raw file until its first snapshot, from then on a layer above a snapshot's. */
export function vmDisk(paths: Paths, vm: DiskOwner, serial: WritableSerial): DiskFile {
  const { dir } = vmPaths(paths, vm.id);
  return vm.baseSnapshotId === null
    ? { path: `${dir}/${serial}.ext4`, format: "raw" }
    : { path: `${dir}/${serial}.${vm.diskEpoch}.${vm.baseSnapshotId}.qcow2`, format: "qcow2" };
}

/** What the name of a top layer says: the inverse of `vmDisk` for a file that a running VMM writes to. */
export function parseTopLayer(fileName: string): { diskEpoch: number; baseSnapshotId: string } | undefined {
  const [, epoch, id] = /^(?:overlay|work)\.(\d{1,9})\.([0-9a-z]+)\.qcow2$/.exec(fileName) ?? [];
  return epoch === undefined || id === undefined ? undefined : { diskEpoch: Number(epoch), baseSnapshotId: id };
}

export interface SnapshotFiles {
  dir: string;
  /** Present when the snapshot has memory and is complete. */
  memoryFile: string;
  stateFile: string;
  /** Frozen disks: hard links to what the VM wrote to before. Whole raw files, or layers above the parent's. */
  disk(serial: WritableSerial, format: DiskFile["format"]): string;
}

export function snapshotFiles(paths: Paths, snapshotId: string): SnapshotFiles {
  const dir = join(paths.snapshotsDir, snapshotId);
  return {
    dir,
    memoryFile: join(dir, "memory.img"),
    stateFile: join(dir, "state.bin"),
    disk: (serial, format) => join(dir, format === "raw" ? `${serial}.ext4` : `${serial}.qcow2`),
  };
}
