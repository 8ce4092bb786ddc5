// What goes into a guest, put together on the host: the list of files, and the git directory that the guest gets.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { WorkspaceMode } from "../../api/workspace-record.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { submoduleMode, type IndexEntry } from "../source/git-words.ts";
import { resolveName, type Source } from "../source/source.ts";
import { writeDotGit } from "./dot-git.ts";
import { cutHistory, shallowFile } from "./history.ts";
import { Staging } from "./staging.ts";
import { submoduleFiles } from "./submodules.ts";

export interface ShipmentRequest {
  mode: WorkspaceMode;
  includeUntracked: boolean;
  /** Branch to make in the guest. */
  branch?: string | undefined;
  /** Where the branch begins; default: HEAD. */
  from?: string | undefined;
}

export interface Shipment {
  source: Source;
  staging: Staging;
  /** Where the files lie. */
  filesRoot: string;
  /** Names of what is packed, relative to `filesRoot`; a submodule's directory among them. */
  files: Buffer[];
  /** Tracked files that are not there. */
  absent: Buffer[];
  /** Directory with ".git" (or ".banger-meta" in mode copy) for the guest. */
  extraRoot: string;
  extra: string;
  branch: string | null;
  startCommit: string | null;
  baseTree: string;
}

/**
 * Tracked and, when wanted, untracked files, with their content as it is now. The index of the staging says what they are. `absent`: tracked
 * files that are not there.
 */
export async function collectFiles(
  source: Source,
  staging: Staging,
  request: Pick<ShipmentRequest, "mode" | "includeUntracked">,
  options: { signal: AbortSignal },
): Promise<{ entries: IndexEntry[]; absent: Buffer[] }> {
  await staging.lookAtAll(options);
  const untracked = request.includeUntracked ? await staging.untracked(options) : [];
  const own = untracked.filter((name) => name.at(-1) !== slash);
  const touched = await staging.touched(options);
  await staging.takeIn([...touched, ...own], options);
  let entries = await staging.entries(options);
  const names = new Set(entries.map(({ name }) => name.toString("latin1")));
  const absent = touched.filter((name) => !names.has(name.toString("latin1")));
  const submodules = entries.filter(({ mode }) => mode === submoduleMode);
  if (submodules.length > 0) {
    checkSubmodules(source, request.mode, submodules);
    await staging.takeIn(await submoduleFiles(staging, submodules, options), options);
    entries = await staging.entries(options);
  }
  return { entries, absent };
}

const slash = 0x2f;

/** Throws `workspace.failed` where submodules are not shipped. */
export function checkSubmodules(source: Source, mode: WorkspaceMode, submodules: readonly IndexEntry[]): void {
  if (mode === "copy" || submodules.length === 0) return;
  throw new BangerError(
    "workspace.failed",
    `"${source.root}" has submodules ("${submodules[0]?.name.toString()}"), and mode ${mode} does not ship those`,
    { hint: `banger vm run --mode copy ${source.root}  # their files, without git` },
  );
}

/** Puts everything together in `directory`, which the caller makes and removes. Throws `workspace.failed`. */
export async function makeShipment(
  source: Source,
  directory: string,
  request: ShipmentRequest,
  options: { signal: AbortSignal },
): Promise<Shipment> {
  try {
    return await make(source, directory, request, options);
  } catch (error) {
    options.signal.throwIfAborted();
    throw explained(error, source);
  }
}

async function make(
  source: Source,
  directory: string,
  request: ShipmentRequest,
  options: { signal: AbortSignal },
): Promise<Shipment> {
  const staging = await Staging.create(source, directory);
  const startCommit = await startOf(source, staging, request, options);
  const elsewhere = startCommit !== source.headCommit;
  /** What the guest's own index is: the user's one, with what is staged. */
  const theirs = staging.withIndex("index.guest");
  const filesRoot = elsewhere ? join(directory, "files") : source.root;
  if (elsewhere) await checkOut(staging, filesRoot, startCommit ?? "", options);
  else await staging.copySourceIndex(source, options);
  await theirs.copyIndexOf(staging);
  const own = elsewhere ? staging.withWorkTree(filesRoot) : staging;
  const { entries, absent } =
    elsewhere || request.mode === "metadata-only"
      ? { entries: await own.entries(options), absent: [] }
      : await collectFiles(source, own, request, options);
  checkSubmodules(
    source,
    request.mode,
    entries.filter(({ mode }) => mode === submoduleMode),
  );
  const baseTree =
    request.mode === "metadata-only" && startCommit !== null
      ? (await own.git(["rev-parse", `${startCommit}^{tree}`], options)).toString().trim()
      : await own.writeTree(options);
  const branch = request.branch ?? source.branch;
  const extraRoot = join(directory, "guest");
  await mkdir(extraRoot, { mode: 0o700 });
  const shallow =
    request.mode === "full" || request.mode === "copy" || startCommit === null
      ? await shallowFile(staging)
      : await cutHistory(staging, [startCommit], options);
  const extra = await writeDotGit(
    { source, staging: own, guestIndex: theirs, mode: request.mode, branch, startCommit, baseTree, shallow, extraRoot },
    options,
  );
  return {
    source,
    staging: own,
    filesRoot,
    files:
      request.mode === "metadata-only"
        ? []
        : entries.filter(({ mode, skipped }) => !skipped && mode !== submoduleMode).map(({ name }) => name),
    absent,
    extraRoot,
    extra,
    branch,
    startCommit,
    baseTree,
  };
}

/** The commit that the guest begins on. Throws `usage` for what is no name of a branch, `workspace.failed` for an unknown commit. */
export async function startOf(
  source: Source,
  staging: Staging,
  { branch, from }: ShipmentRequest,
  options: { signal: AbortSignal },
): Promise<string | null> {
  if (branch !== undefined) await checkBranchName(staging, branch, options);
  if (from === undefined) return source.headCommit;
  const object = await resolveName(source, from, options);
  return (await staging.git(["rev-parse", "--verify", `${object}^{commit}`], options)).toString().trim();
}

async function checkBranchName(staging: Staging, branch: string, options: { signal: AbortSignal }): Promise<void> {
  try {
    await staging.git(["check-ref-format", `refs/heads/${branch}`], options);
    if (!branch.startsWith("-")) return;
  } catch {
    options.signal.throwIfAborted();
  }
  throw new BangerError("usage", `"${branch}" is no name for a branch`);
}

/** The files of a commit, instead of those of the work tree: what is not committed there would not fit. */
async function checkOut(staging: Staging, to: string, commit: string, options: { signal: AbortSignal }): Promise<void> {
  await mkdir(to, { mode: 0o700 });
  const there = staging.withWorkTree(to);
  await there.git(["read-tree", commit], options);
  await there.git(["checkout-index", "--all", "--index"], { ...options, timeoutMs: 60 * 60 * 1000 });
}

/** git's own words, with what helps where that is known. */
function explained(error: unknown, source: Source): BangerError {
  const known = toBangerError(error);
  if (known.code !== "command.failed") return known;
  const missing = /missing (?:blob|tree|commit) object|bad object|unable to read (?:tree|sha1 file|[0-9a-f]{40})/i.test(
    known.message,
  );
  const partial = [...source.settings.keys()].some(
    (key) => key.endsWith(".promisor") || key === "extensions.partialclone",
  );
  return new BangerError(
    "workspace.failed",
    missing && partial
      ? `"${source.root}" is a partial clone, and not all objects of its recent history are there`
      : `"${source.root}" could not be packed: ${known.message}`,
    {
      cause: error,
      hint:
        missing && partial
          ? `git -C ${source.root} fetch --refetch --no-filter  # or --mode copy`
          : `git -C ${source.root} fsck`,
    },
  );
}
