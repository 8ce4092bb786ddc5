// Methods that bring what a guest changed in its workspace back to the host.
import * as v from "valibot";
import { method } from "./method.ts";

const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));

export const workspaceExportMethods = {
  "workspace.export": method({
    kind: "download",
    summary: "What the guest changed, as a patch or a bundle of commits; touches neither its index nor its files.",
    params: v.strictObject({
      vm: reference,
      format: v.optional(v.picklist(["patch", "branch", "bundle"])),
      /** Default: what was shipped, so that commits of the guest are in it. */
      baseCommit: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{4,64}$/))),
    }),
    result: v.object({}),
  }),
  "workspace.diff": method({
    kind: "download",
    summary: "What differs between a VM's workspace and what was shipped, or another VM's workspace, for people to read.",
    params: v.strictObject({ vm: reference, other: v.optional(reference), stat: v.optional(v.boolean()) }),
    result: v.object({}),
  }),
};
