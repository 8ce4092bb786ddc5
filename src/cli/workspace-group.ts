// "banger vm workspace": the commands on the repository that was put into a VM.
import { group, leaf } from "./entry.ts";

export const workspace = group(
  "the repository in a VM: in, up to date, and out again",
  `A workspace is a git repository of this host that was put into a VM: by "vm run <path>", or later by "workspace prepare".

In the guest it is a repository with its history, so commits can be made there. "diff" shows what was changed since, "export" brings
exactly that back: as a patch, as a branch, or into the files that it came from.`,
  [
    ["banger vm run ./repo -- make fix", "change a repository in a VM"],
    ["banger vm workspace diff sandbox", "look at what was changed there"],
    ["banger vm workspace export sandbox --apply", "take it"],
  ],
  {
    prepare: leaf("put a repository into a running VM", () => import("./commands/vm/workspace/prepare.ts")),
    status: leaf("what changed on either side since", () => import("./commands/vm/workspace/status.ts")),
    sync: leaf("put what changed on the host since into a VM", () => import("./commands/vm/workspace/sync.ts")),
    plan: leaf("show which tools a repository pins", () => import("./commands/vm/workspace/plan.ts")),
    diff: leaf(
      "show what was changed in a VM, or what differs in two",
      () => import("./commands/vm/workspace/diff.ts"),
    ),
    export: leaf("bring what was changed in a VM back to this host", () => import("./commands/vm/workspace/export.ts")),
  },
);
