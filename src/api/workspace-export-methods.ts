// Methods that bring what a guest changed in its workspace back to the host: it is fetched and checked once, then looked at, read
// and applied, so that what was looked at is what is applied.
import * as v from "valibot";
import { method } from "./method.ts";

const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
const exportId = v.pipe(v.string(), v.minLength(1), v.maxLength(64), v.description("of workspace.export"));
const branchName = v.pipe(v.string(), v.minLength(1), v.maxLength(200));
const named = v.object({ id: v.string(), name: v.string() });

export const exportedFile = v.object({
  path: v.string(),
  from: v.pipe(v.nullable(v.string()), v.description("the name before, of a file that was renamed")),
  kind: v.picklist(["added", "changed", "deleted", "renamed", "mode", "type"]),
  added: v.pipe(v.nullable(v.number()), v.description("lines; null: a binary file")),
  removed: v.nullable(v.number()),
});
export type ExportedFile = v.InferOutput<typeof exportedFile>;

export const workspaceExport = v.object({
  id: exportId,
  vm: named,
  /** The VM that it was compared with; null: with what was shipped, or with a base that was named. */
  against: v.nullable(named),
  root: v.pipe(v.string(), v.description("work tree on the host that the workspace came from")),
  headCommit: v.pipe(v.nullable(v.string()), v.description("commit that the guest is on")),
  branch: v.nullable(v.string()),
  commits: v.pipe(v.number(), v.description("made in the guest")),
  /** At most some hundred. */
  files: v.array(exportedFile),
  fileCount: v.number(),
  added: v.number(),
  removed: v.number(),
  submodules: v.pipe(
    v.array(v.object({ path: v.string(), files: v.number() })),
    v.description("with changed files: those are among the files and in a patch, and never in a branch or bundle"),
  ),
  notes: v.pipe(v.array(v.string()), v.description("what is worth a look before it is applied")),
});
export type WorkspaceExport = v.InferOutput<typeof workspaceExport>;

const conflict = v.object({ path: v.string(), why: v.string() });

export const workspaceExportMethods = {
  "workspace.export": method({
    kind: "operation",
    summary:
      "Fetches what the guest changed, commits included, and checks it; touches neither its index nor its files. Kept for some minutes.",
    params: v.strictObject({
      vm: reference,
      against: v.optional(v.pipe(reference, v.description("another VM: what differs between the two"))),
      baseCommit: v.optional(
        v.pipe(
          v.string(),
          v.minLength(1),
          v.maxLength(200),
          v.description("commit to compare with; default: what was shipped"),
        ),
      ),
      maxBytes: v.optional(
        v.pipe(v.number(), v.integer(), v.minValue(1), v.description("most that is taken of the guest")),
      ),
    }),
    result: workspaceExport,
  }),
  "workspace.read": method({
    kind: "download",
    summary: "An export as a patch for git, as a diff for people, or as a git bundle with its commits.",
    params: v.strictObject({
      export: exportId,
      format: v.picklist(["patch", "diff", "bundle"]),
      branch: v.optional(v.pipe(branchName, v.description("name of the branch in the bundle"))),
    }),
    result: v.object({}),
  }),
  "workspace.apply": method({
    kind: "operation",
    summary:
      "Applies an export to the host's repository: as uncommitted changes, merged with what is there, or as a new branch. All or nothing.",
    params: v.strictObject({
      export: exportId,
      branch: v.optional(branchName),
      check: v.optional(v.pipe(v.boolean(), v.description("only say what would happen"))),
    }),
    result: v.object({
      changed: v.pipe(v.number(), v.description("files of the work tree that were written or removed, or would be")),
      unchanged: v.pipe(v.number(), v.description("files that the host has already as they are in the guest")),
      /** Only of a check: else they are an error. At most some hundred. */
      conflicts: v.array(conflict),
      branch: v.nullable(v.string()),
      commit: v.nullable(v.string()),
      commits: v.pipe(v.number(), v.description("that the branch has more than what was shipped")),
    }),
  }),
  "workspace.forget": method({
    kind: "unary",
    summary: "Lets go of an export before its time.",
    params: v.strictObject({ export: exportId }),
    result: v.object({}),
  }),
};
