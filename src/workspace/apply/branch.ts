// Puts a guest's commits into a repository of the host as a new branch. Work tree, index and HEAD are not touched.
import { PassThrough } from "node:stream";
import { BangerError } from "../../lib/errors.ts";
import type { Quarantine } from "../quarantine/quarantine.ts";
import { hostGit, type HostRepository } from "./host-repository.ts";

export interface BranchRequest {
  quarantine: Quarantine;
  repository: HostRepository;
  branch: string;
  commit: string;
  /** What the host has already. */
  start: string | undefined;
  /** Stop before the host's repository is written to. */
  check: boolean;
  signal: AbortSignal;
}

/** Throws `workspace.conflict` when there is such a branch, unless it is on this commit. Returns how many commits are new. */
export async function makeBranch(request: BranchRequest): Promise<{ commits: number }> {
  const { quarantine, repository, branch, commit, start, check, signal } = request;
  const { root, format } = repository;
  const ref = `refs/heads/${branch}`;
  const exclude = start === undefined ? [] : [`^${start}`];
  const counted = await quarantine.git(["rev-list", "--count", commit, ...exclude], { signal });
  const commits = Number(counted.stdout.toString());
  const existing = await hostGit(root, ["rev-parse", "--verify", "--quiet", ref], { signal, okExitCodes: [0, 1] });
  if (existing.exitCode === 0) {
    if (existing.stdout.toString().trim() === commit) return { commits };
    throw new BangerError("workspace.conflict", `"${root}" already has a branch "${branch}"`, {
      hint: `git -C ${root} branch -m ${branch} ${branch}-old  # or take another name`,
    });
  }
  if (check) return { commits };
  if (commits > 0) {
    const pack = new PassThrough({ highWaterMark: 1024 * 1024 });
    const packing = quarantine.git(["pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q", "--thin"], {
      input: `${commit}\n${exclude.join("\n")}\n`,
      output: pack,
      signal,
    });
    const unpacking = hostGit(root, ["index-pack", "--stdin", "--fix-thin", "--strict"], { input: pack, signal });
    await Promise.all([packing, unpacking]);
  }
  const none = "0".repeat(format === "sha1" ? 40 : 64);
  try {
    await hostGit(root, ["update-ref", "-m", "banger: export of a workspace", "--", ref, commit, none], { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new BangerError("workspace.conflict", `the branch "${branch}" could not be made in "${root}"`, {
      cause: error,
      hint: `git -C ${root} branch --list  # a branch may stand in the way: a/b and a exclude each other`,
    });
  }
  return { commits };
}
