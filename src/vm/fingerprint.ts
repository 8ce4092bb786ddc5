// What a machine and a capture must have in common: one digest over the VMM's shape, the kernel and the agent.
import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { Driver, MachineSpec } from "../vmm/driver.ts";

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
