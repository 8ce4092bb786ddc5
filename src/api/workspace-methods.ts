// Methods that put a repository into a VM and keep it up to date there.
import * as v from "valibot";
import { method } from "./method.ts";
import { workspaceMode, workspaceRecord } from "./workspace-record.ts";

const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
const hostPath = v.pipe(v.string(), v.startsWith("/"), v.maxLength(4096), v.description("absolute path on the host"));
const guestPath = v.pipe(v.string(), v.startsWith("/"), v.maxLength(4096), v.description("absolute path in the guest"));
const gitName = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
const bytes = v.pipe(v.number(), v.description("bytes"));
/** As git prints it: quoted, with escapes, when it has other than plain characters. */
const shownPath = v.pipe(v.string(), v.description("relative to the top of the work tree, quoted as git does"));

/** What is to be shipped. */
const wanted = {
  path: hostPath,
  mode: v.optional(workspaceMode),
  includeUntracked: v.optional(v.boolean()),
  branch: v.optional(v.pipe(gitName, v.description("branch to make in the guest"))),
  from: v.optional(v.pipe(gitName, v.description("where the branch begins; only with branch"))),
};

const shippedFile = v.object({
  path: shownPath,
  kind: v.picklist(["file", "executable", "link", "directory"]),
  sizeBytes: bytes,
  state: v.picklist(["clean", "changed", "added", "untracked"]),
});

/** Paths, at most some hundred; `count` is of all. */
const somePaths = v.object({ count: v.number(), paths: v.array(shownPath) });

const plan = v.object({
  root: v.string(),
  name: v.string(),
  subdirectory: v.string(),
  mode: workspaceMode,
  branch: v.nullable(v.string()),
  headCommit: v.nullable(v.string()),
  originUrl: v.nullable(v.string()),
  files: v.number(),
  untracked: v.number(),
});

export const workspaceMethods = {
  "workspace.inspect": method({
    kind: "unary",
    summary: "What would be shipped of the repository that a path lies in; checks it before a VM is made.",
    params: v.strictObject(wanted),
    result: plan,
  }),
  "workspace.plan": method({
    kind: "unary",
    summary: "Each file that would be shipped, and what would not.",
    params: v.strictObject(wanted),
    result: v.object({
      ...plan.entries,
      sizeBytes: bytes,
      /** Files that are Git LFS pointers: their content was never fetched, so the pointers are shipped. */
      lfsPointers: v.number(),
      shipped: v.array(shippedFile),
      deleted: v.array(shownPath),
      untrackedPaths: somePaths,
      ignored: somePaths,
      large: v.array(v.object({ path: shownPath, sizeBytes: bytes })),
    }),
  }),
  "workspace.prepare": method({
    kind: "operation",
    summary:
      "Puts a repository into a running VM, in one step. Refused when that would destroy work of the guest, unless forced.",
    params: v.strictObject({
      vm: reference,
      ...wanted,
      guestPath: v.optional(guestPath),
      force: v.optional(v.pipe(v.boolean(), v.description("replace what the guest has changed"))),
    }),
    result: v.object({
      workspace: workspaceRecord,
      /** The same as in `workspace`. */
      guestPath: v.string(),
      workdir: v.string(),
      root: v.string(),
      files: v.number(),
      untracked: v.number(),
      lfsPointers: v.number(),
      sentBytes: bytes,
    }),
  }),
  "workspace.status": method({
    kind: "unary",
    summary: "What changed on both sides since a workspace was prepared.",
    params: v.strictObject({ vm: reference }),
    result: v.object({
      workspace: workspaceRecord,
      host: v.object({
        /** Why it cannot be looked at; empty when it can. */
        problem: v.string(),
        branch: v.nullable(v.string()),
        headCommit: v.nullable(v.string()),
        /** Commits that the host has since, and commits that were shipped and that it has no more; null: not known. */
        ahead: v.nullable(v.number()),
        behind: v.nullable(v.number()),
        /** Differ from what was shipped. */
        changed: somePaths,
      }),
      guest: v.object({
        /** Why it cannot be looked at (the VM does not run); empty when it can. */
        problem: v.string(),
        /** Whether the guest has git: without it commits are not known. */
        git: v.boolean(),
        branch: v.nullable(v.string()),
        headCommit: v.nullable(v.string()),
        commits: v.pipe(v.nullable(v.number()), v.description("made in the guest; null: not known")),
        changed: somePaths,
      }),
    }),
  }),
  "workspace.sync": method({
    kind: "unary",
    summary: "Puts what changed on the host since into the VM; files that the guest changed, too, are left alone.",
    params: v.strictObject({ vm: reference, force: v.optional(v.boolean()) }),
    result: v.object({
      written: v.number(),
      removed: v.number(),
      sentBytes: bytes,
      /** Changed on both sides: the guest keeps its own, unless forced. */
      conflicts: somePaths,
      /** HEAD of the host is another one than the guest's history was made from. */
      headMoved: v.boolean(),
    }),
  }),
  "workspace.watch": method({
    kind: "events",
    summary: "Syncs whenever the host's files change, until the client leaves; one line for each time.",
    params: v.strictObject({ vm: reference, force: v.optional(v.boolean()) }),
    result: v.object({
      at: v.number(),
      written: v.number(),
      removed: v.number(),
      conflicts: somePaths,
      headMoved: v.boolean(),
    }),
  }),
};
