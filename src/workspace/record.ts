// Where a guest keeps what was shipped into it, beside the files themselves. The guest may have changed any of it.
import { join } from "node:path/posix";
import type { WorkspaceRecord } from "../api/workspace-record.ts";

/**
 * Ref in the guest's repository that holds `baseTree`: the tree of exactly the files that were shipped, uncommitted ones included.
 * What the guest changed is the difference between it and the work tree. Absent in mode copy.
 */
export const baseRef = "refs/banger/base";

/** Files in a workspace's `metaPath`. */
export interface ShippedFiles {
  /**
   * A git index (version 2 or 3) of the files that the last prepare shipped, with their times and sizes: unchanged files need not be
   * read. To be read with core.checkStat=minimal and core.trustctime=false, which the guest's repository is configured with.
   */
  index: string;
  /**
   * What was synced since, oldest first, as `git update-index -z --index-info` takes it ("<mode> <object>\t<path>\0", mode 0 for
   * a file that went). May be missing. `index` with this applied is the content of `baseTree`.
   */
  changes: string;
}

/** Undefined when an older version put the workspace there. */
export function shippedFiles({ metaPath }: Pick<WorkspaceRecord, "metaPath">): ShippedFiles | undefined {
  if (metaPath === null) return undefined;
  return { index: join(metaPath, "index"), changes: join(metaPath, "changes") };
}
