// Whether a guest can reach anything outside of its VM. The one place that knows.
import type { VmRecord } from "../api/records.ts";

/** VMs have no network. */
export function hasNetwork(_vm: VmRecord): boolean {
  return false;
}
