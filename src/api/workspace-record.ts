// What is kept of the repository that was put into a VM: where it lies on both sides, and what exactly was shipped.
import * as v from "valibot";

const timestamp = v.pipe(v.number(), v.description("milliseconds since 1970"));
const commit = v.nullable(v.string());

export const workspaceMode = v.pipe(
  v.picklist(["shallow", "full", "metadata-only", "copy"]),
  v.description(
    "shallow: files and recent history; full: files and all history; metadata-only: recent history and no files; copy: files and no git",
  ),
);
export type WorkspaceMode = v.InferOutput<typeof workspaceMode>;

export const workspaceRecord = v.object({
  guestPath: v.pipe(v.string(), v.description("top of the work tree in the guest")),
  workdir: v.pipe(v.string(), v.description("where commands run: guestPath, and the subdirectory that was named")),
  sourcePath: v.pipe(v.string(), v.description("path on the host that was named")),
  root: v.pipe(v.string(), v.description("top of the work tree on the host")),
  repoName: v.string(),
  mode: workspaceMode,
  includeUntracked: v.boolean(),
  branch: v.pipe(v.nullable(v.string()), v.description("branch that the guest is on; null: detached, or no git")),
  headCommit: v.pipe(commit, v.description("HEAD of the host when it was prepared; null: it had no commit")),
  startCommit: v.pipe(commit, v.description("commit that the guest began on: headCommit unless --from named another")),
  baseTree: v.pipe(
    commit,
    v.description("git tree of exactly the files that were shipped, uncommitted ones included; null in mode copy"),
  ),
  metaPath: v.pipe(
    v.nullable(v.string()),
    v.description(
      "guest directory with what was shipped (src/workspace/record.ts); null: an older version put it there",
    ),
  ),
  preparedAt: timestamp,
  syncedAt: v.pipe(timestamp, v.description("when files last went in")),
});
export type WorkspaceRecord = v.InferOutput<typeof workspaceRecord>;
