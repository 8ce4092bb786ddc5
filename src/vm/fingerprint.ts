// What a machine and a capture must have in common: one digest over the VMM's shape, the kernel and the agent; of a guest whose root is
// assembled, one more over that digest and its disks.
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { Driver, MachineSpec } from "../vmm/driver.ts";
import type { FreshRoot } from "./context.ts";

/** Equal for two machines exactly when memory of one can be restored as the other: 64 hex digits. */
export async function fingerprintOf(
  driver: Driver,
  spec: Pick<MachineSpec, "vcpus" | "memoryMib" | "disks" | "initrd">,
  options: { signal: AbortSignal },
): Promise<string> {
  const shape = await driver.shape(spec, options);
  // The initramfs is named by the digests of its kernel and its agent.
  return createHash("sha256")
    .update(`1\n${basename(spec.initrd)}\n${shape}`)
    .digest("hex");
}

/**
 * Equal for two fresh VMs of machines with the fingerprint `shape` exactly when memory of one, with its root assembled, can be restored as
 * the other. A guest believes what it has read of its image: one whose file was changed since is another. Throws when that file is gone.
 */
export async function rootFingerprint(shape: string, { image, overlayBytes, diskBytes }: FreshRoot): Promise<string> {
  const { ino, size, mtimeNs } = await stat(image.rootfsPath, { bigint: true });
  return createHash("sha256")
    .update(["root 1", shape, image.id, ino, size, mtimeNs, overlayBytes, diskBytes].join("\n"))
    .digest("hex");
}
