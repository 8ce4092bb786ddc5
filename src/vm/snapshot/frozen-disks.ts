// The disk files of snapshots and of the VMs above them: links to what a VM wrote to, new layers for what it will write to, and
// what is left over beside them.
import { existsSync } from "node:fs";
import { link, readdir, unlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Paths, vmPaths } from "../../config/paths.ts";
import { virtualSize } from "../../disk/chain.ts";
import { createLayer } from "../../disk/layer.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError } from "../../lib/errors.ts";
import { ensureDirectory, syncDirectory } from "../../lib/files.ts";
import type { VmRow } from "../../state/vms.ts";
import type { Machine } from "../../vmm/driver.ts";
import type { VmContext } from "../context.ts";
import {
  type DiskFile,
  type DiskOwner,
  parseTopLayer,
  serials,
  snapshotFiles,
  vmDisk,
  type WritableSerial,
  writableSerials,
} from "../disk-files.ts";

/** A frozen disk, in the form that is the quickest to open: whole, when it is there so. */
export function frozenDisk(paths: Paths, snapshotId: string, serial: WritableSerial): DiskFile {
  const files = snapshotFiles(paths, snapshotId);
  const whole = files.disk(serial, "raw");
  return existsSync(whole) ? { path: whole, format: "raw" } : { path: files.disk(serial, "qcow2"), format: "qcow2" };
}

/** The disks of a VM under the snapshot's name, too. Its directory exists. */
export async function linkDisks(paths: Paths, vm: DiskOwner, snapshotId: string): Promise<void> {
  const files = snapshotFiles(paths, snapshotId);
  for (const serial of writableSerials) {
    const { path, format } = vmDisk(paths, vm, serial);
    await link(path, files.disk(serial, format));
    crashPoint("snapshot.disk-linked");
  }
  await syncDirectory(files.dir);
}

/** The two columns that give a VM fresh disks above a snapshot. */
export function above(vm: Pick<VmRow, "diskEpoch">, snapshotId: string): Pick<VmRow, "baseSnapshotId" | "diskEpoch"> {
  return { baseSnapshotId: snapshotId, diskEpoch: vm.diskEpoch + 1 };
}

/**
 * Makes the empty disks that `owner` names above its snapshot; durable when it resolves. They are not in use before a record
 * names them. Returns them by serial.
 */
export async function makeTops(
  paths: Paths,
  owner: DiskOwner & { baseSnapshotId: string },
  options: { signal: AbortSignal },
): Promise<{ serial: WritableSerial; path: string }[]> {
  await ensureDirectory(vmPaths(paths, owner.id).dir);
  const made = await Promise.allSettled(
    writableSerials.map(async (serial) => {
      const backing = frozenDisk(paths, owner.baseSnapshotId, serial);
      const { path } = vmDisk(paths, owner, serial);
      await createLayer(path, { sizeBytes: await virtualSize(backing.path, backing.format), backing }, options);
      crashPoint("snapshot.layer-made");
      return { serial, path };
    }),
  );
  return made.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
}

/**
 * Makes the record of a running VM say which disks it really has: a daemon may have ended, or a reply been lost, at any point of a
 * switch. Returns the row as it is then. Throws what `activeDisks` throws.
 */
export async function adoptDisks(
  context: Pick<VmContext, "paths" | "state" | "log">,
  row: VmRow,
  machine: Pick<Machine, "activeDisks">,
): Promise<VmRow> {
  const path = (await machine.activeDisks()).get(serials.overlay);
  if (path === undefined) throw new BangerError("vmm.failed", `the VMM of VM "${row.name}" has no disk "overlay"`);
  const whole = vmDisk(context.paths, { ...row, baseSnapshotId: null }, serials.overlay);
  const truth =
    basename(path) === basename(whole.path)
      ? { baseSnapshotId: null, diskEpoch: row.diskEpoch }
      : parseTopLayer(basename(path));
  if (truth === undefined) throw new BangerError("vmm.failed", `VM "${row.name}" writes to a strange disk: "${path}"`);
  if (truth.baseSnapshotId === row.baseSnapshotId && truth.diskEpoch === row.diskEpoch) return row;
  context.log.warn("a VM has other disks than its record says", { vm: row.id, disks: truth });
  return context.state.vms.update(row.id, truth);
}

const diskName = /^(?:overlay|work)\.(?:ext4|\d{1,9}\.[0-9a-z]+\.qcow2)(?:\.new|\.[0-9a-f]+\.tmp)?$/;

/**
 * Removes disk files in the directory of a VM that its record does not name. The caller holds the VM's lock; a machine that runs has
 * the disks that the record names (`adoptDisks`).
 */
export async function removeStaleDisks(paths: Paths, vm: DiskOwner): Promise<void> {
  const { dir } = vmPaths(paths, vm.id);
  if (!existsSync(dir)) return;
  const named = new Set(writableSerials.map((serial) => basename(vmDisk(paths, vm, serial).path)));
  for (const name of await readdir(dir)) {
    if (!diskName.test(name) || named.has(name)) continue;
    await unlink(join(dir, name));
    crashPoint("snapshot.old-disk-removed");
  }
}
