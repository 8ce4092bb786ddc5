// What a VM's machine is made of: kernel, initramfs and disks, as its record says.
import { vmPaths } from "../config/paths.ts";
import { ensureDisk } from "../disk/blank.ts";
import type { VmRow } from "../state/vms.ts";
import type { MachineSpec } from "../vmm/driver.ts";
import type { VmContext } from "./context.ts";
import { serials, vmDisk, type WritableSerial } from "./disk-files.ts";

type DisksOf = Pick<VmRow, "id" | "spec" | "baseSnapshotId" | "diskEpoch">;

/**
 * The machine of a VM. Builds the initramfs when it is not in the cache; the disks are only named: see `ensureBlankDisks`.
 * Throws what the stores throw for an image or kernel that is gone.
 */
export async function machineSpec(
  context: Pick<VmContext, "paths" | "images" | "kernels" | "initramfs">,
  row: DisksOf & Pick<VmRow, "imageId" | "kernelId">,
  options: { signal: AbortSignal },
): Promise<MachineSpec> {
  const image = context.images.resolve(row.imageId);
  const kernel = context.kernels.resolve(row.kernelId);
  const writable = (serial: WritableSerial) => ({ serial, ...vmDisk(context.paths, row, serial), readOnly: false });
  return {
    vmId: row.id,
    homeId: context.paths.homeId,
    dir: vmPaths(context.paths, row.id).dir,
    kernel: kernel.kernelPath,
    initrd: await context.initramfs(kernel, options),
    kernelArguments: [],
    vcpus: row.spec.vcpus,
    memoryMib: row.spec.memoryMib,
    disks: [
      { serial: serials.base, path: image.rootfsPath, readOnly: true, format: "raw" },
      writable(serials.overlay),
      writable(serials.work),
    ],
  };
}

/** Makes the disks of a VM that rests on no snapshot, unless they are there. Its directory exists. */
export async function ensureBlankDisks(
  context: Pick<VmContext, "paths">,
  row: DisksOf,
  options: { signal: AbortSignal },
): Promise<void> {
  if (row.baseSnapshotId !== null) return;
  const make = (serial: WritableSerial, sizeBytes: number) =>
    ensureDisk(vmDisk(context.paths, row, serial).path, serial, sizeBytes, options.signal, context.paths.cacheDir);
  // Both have ended when this does: a caller that failed may remove the directory.
  const made = await Promise.allSettled([
    make(serials.overlay, row.spec.overlayBytes),
    make(serials.work, row.spec.diskBytes),
  ]);
  for (const one of made) if (one.status === "rejected") throw one.reason;
}
