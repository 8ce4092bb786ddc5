// Where the host keeps what it knows of a VM's workspace.
import { join } from "node:path";
import type { VmRecord } from "../../api/records.ts";

/** A directory below the VM's own, so it goes with the VM. Absent until a repository was put into it. */
export function hostDirectory({ dir }: Pick<VmRecord, "dir">): string {
  return join(dir, "workspace");
}
