// What is made of a guest's state on the host: a patch, a text for people, a commit, a bundle. All of it comes out of git on this
// side, from objects that were checked; no byte is passed on as the guest sent it.
import type { Writable } from "node:stream";
import { BangerError } from "../../lib/errors.ts";
import { emptyTree, type Quarantine } from "../quarantine/quarantine.ts";
import type { GuestState } from "./guest-state.ts";

const patchFlags = ["-r", "-p", "--no-ext-diff", "--no-textconv", "--no-color"];

/** A patch that `git apply` takes, binary files included. */
export async function writePatch(
  { git }: Quarantine,
  { baseTree, tree, changes }: Pick<GuestState, "baseTree" | "tree" | "changes">,
  output: Writable,
  signal: AbortSignal,
): Promise<void> {
  // git apply (2.39) takes the name of a link that was renamed for one that is still there.
  const links = changes.some(({ before, after }) => before?.mode === "120000" || after?.mode === "120000");
  const flags = ["--binary", "--full-index", "--src-prefix=a/", "--dst-prefix=b/", links ? "--no-renames" : "-M"];
  await git(["diff-tree", ...patchFlags, ...flags, baseTree, tree], { output, signal });
}

/** A diff to read: binary files are only named. */
export async function writeDiff(
  { git }: Quarantine,
  { baseTree, tree }: Pick<GuestState, "baseTree" | "tree">,
  output: Writable,
  signal: AbortSignal,
): Promise<void> {
  await git(["diff-tree", ...patchFlags, "-M", baseTree, tree], { output, signal });
}

export interface CommitRequest {
  message: string;
  /** Who the commit of what the guest had not committed is by. */
  name: string;
  email: string;
}

/** A commit that holds the guest's files as they are: its own, or one on top of it for what it had not committed. */
export async function commitOf(
  quarantine: Quarantine,
  { head, start, tree }: GuestState,
  { message, name, email }: CommitRequest,
  signal: AbortSignal,
): Promise<string> {
  const parent = head ?? start;
  const parentTree =
    parent === undefined ? emptyTree[quarantine.format] : await quarantine.resolve(parent, "tree", signal);
  if (parent !== undefined && parentTree === tree) return parent;
  const identity = {
    GIT_AUTHOR_NAME: name,
    GIT_AUTHOR_EMAIL: email,
    GIT_COMMITTER_NAME: name,
    GIT_COMMITTER_EMAIL: email,
  };
  const { stdout } = await quarantine.git(["commit-tree", ...(parent === undefined ? [] : ["-p", parent]), tree], {
    input: `${message}\n`,
    env: identity,
    signal,
  });
  return stdout.toString("latin1").trim();
}

/** A bundle with a branch of this name; who takes it must have the commit that the guest began with. */
export async function writeBundle(
  { git }: Quarantine,
  request: { branch: string; commit: string; start: string | undefined },
  output: Writable,
  signal: AbortSignal,
): Promise<void> {
  const { branch, commit, start } = request;
  if (commit === start) {
    throw new BangerError("workspace.failed", "the guest changed nothing: there is no commit to make a bundle of");
  }
  const ref = `refs/heads/${branch}`;
  await git(["update-ref", ref, commit], { signal });
  await git(["bundle", "create", "--quiet", "-", ref, ...(start === undefined ? [] : [`^${start}`])], {
    output,
    signal,
  });
}

/** Throws `usage` when git takes no branch of this name. */
export async function checkBranchName({ git }: Quarantine, branch: string, signal: AbortSignal): Promise<void> {
  const { exitCode } = await git(["check-ref-format", "--branch", branch], { signal, okExitCodes: [0, 1, 128] });
  if (exitCode !== 0 || branch.startsWith("@{")) {
    throw new BangerError("usage", `"${branch}" cannot be the name of a branch`, {
      hint: "git help check-ref-format",
    });
  }
}
