// Methods on all that banger keeps on this host: how much room it takes, and what can go.
import * as v from "valibot";
import { method } from "./method.ts";

const bytes = v.pipe(v.number(), v.description("bytes"));

/** What takes room, in the order in which it is shown. */
export const diskUseKind = v.picklist(["vms", "snapshots", "images", "kernels", "templates", "blobs", "logs"]);

export const diskUse = v.object({
  kind: diskUseKind,
  count: v.number(),
  /** How many of them something needs: a VM or a snapshot, and for VMs that they run or are paused. */
  inUse: v.number(),
  usedBytes: bytes,
  freeableBytes: v.pipe(bytes, v.description("what system.prune with all would give back")),
});
export type DiskUse = v.InferOutput<typeof diskUse>;

export const systemMethods = {
  "system.df": method({
    kind: "unary",
    summary: "Room that VMs, snapshots, images, kernels, templates, blobs and logs take on this host.",
    params: v.strictObject({}),
    result: v.object({ use: v.array(diskUse), stateFreeBytes: bytes, stateDir: v.string(), cacheDir: v.string() }),
  }),
  "system.prune": method({
    kind: "operation",
    summary:
      "Removes what is made anew when it is needed: blobs, useless templates, old logs; with all, images and kernels of no VM, too.",
    params: v.strictObject({ all: v.optional(v.boolean()), dryRun: v.optional(v.boolean()) }),
    result: v.object({
      removed: v.array(v.object({ kind: diskUseKind, names: v.array(v.string()), freedBytes: bytes })),
      freedBytes: bytes,
    }),
  }),
};
