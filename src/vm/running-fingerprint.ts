// What the memory of a VM's machine can be restored as.
import type { VmRow } from "../state/vms.ts";
import type { VmContext } from "./context.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { asStarted } from "./machine-shape.ts";
import { machineSpec } from "./machine-spec.ts";

/**
 * The fingerprint of a machine that runs: what it was started with, though the VMM or the agent was upgraded since. A machine
 * whose record does not say it is taken for one that would be started now.
 */
export async function runningFingerprint(
  context: Pick<VmContext, "paths" | "images" | "kernels" | "initramfs" | "driver">,
  row: VmRow,
  options: { signal: AbortSignal },
): Promise<string> {
  return (
    row.fingerprint ??
    (await fingerprintOf(context.driver, await machineSpec(context, asStarted(row), options), options))
  );
}
