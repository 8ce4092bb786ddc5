// Says what would be shipped of a repository, and what not, without a VM.
import { lstatSync, type Stats } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { ResultOf } from "../api/methods.ts";
import { lfsPointers, lfsPointersOf } from "./lfs.ts";
import { showPath } from "./quarantine/show-path.ts";
import { executableMode, isBelow, linkMode, splitZero, submoduleMode, type IndexEntry } from "./source/git-words.ts";
import { originUrl } from "./source/origin.ts";
import type { Source } from "./source/source.ts";
import type { ShipmentRequest } from "./staging/shipment.ts";
import { checkSubmodules, collectFiles, startOf } from "./staging/shipment.ts";
import { Staging } from "./staging/staging.ts";

type Call = { signal: AbortSignal };
type Inspection = ResultOf<"workspace.inspect">;
type Plan = ResultOf<"workspace.plan">;

/** Of lists that may be long. */
const maxListed = 500;
/** From here on a file is told as a large one. */
const largeBytes = 50 * 1024 * 1024;
const filesPerTurn = 2000;

/** Cheap: no file of the work tree is read. */
export async function inspect(
  source: Source,
  directory: string,
  request: ShipmentRequest,
  options: Call,
): Promise<Inspection> {
  const staging = await Staging.create(source, directory);
  await staging.copySourceIndex(source, options);
  const [entries, untracked] = await Promise.all([staging.entries(options), staging.untracked(options)]);
  checkSubmodules(
    source,
    request.mode,
    entries.filter(({ mode }) => mode === submoduleMode),
  );
  return { ...summary(source, request), files: entries.length, untracked: couldCome(request) ? untracked.length : 0 };
}

/** Whether untracked files could go along: not with the files of a commit, or with none. */
export function couldCome({ mode, from }: Pick<ShipmentRequest, "mode" | "from">): boolean {
  return mode !== "metadata-only" && from === undefined;
}

/** Each file with its size; changed files are read. */
export async function plan(source: Source, directory: string, request: ShipmentRequest, options: Call): Promise<Plan> {
  const staging = await Staging.create(source, directory);
  const start = await startOf(source, staging, request, options);
  if (start !== null && start !== source.headCommit)
    return await planOfCommit(source, staging, start, request, options);
  await staging.copySourceIndex(source, options);
  const before = new Map((await staging.entries(options)).map((entry) => [key(entry.name), entry]));
  const head =
    source.headCommit === null ? new Map<string, string>() : await filesOf(staging, source.headCommit, options);
  const { entries } = await collectFiles(source, staging, request, options);
  const untracked = await staging.untracked(options);
  const ignored = await staging.git(
    ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"],
    options,
  );
  const submodules = new Set([...before].flatMap(([name, { mode }]) => (mode === submoduleMode ? [name] : [])));
  const shipped: Plan["shipped"] = [];
  const large: Plan["large"] = [];
  let sizeBytes = 0;
  const ours = request.mode === "metadata-only" ? [] : entries.filter(({ skipped }) => !skipped);
  for (const [at, entry] of ours.entries()) {
    if (at % filesPerTurn === 0) {
      await nextTurn();
      options.signal.throwIfAborted();
    }
    const size = statusOf(staging.workTree, entry.name)?.size ?? 0;
    const path = showPath(entry.name);
    sizeBytes += size;
    if (size >= largeBytes) large.push({ path, sizeBytes: size });
    const known = head.get(key(entry.name));
    // Files of submodules are only listed: what their repositories say of them is not asked.
    const state = isBelow(submodules, key(entry.name))
      ? "clean"
      : !before.has(key(entry.name))
        ? "untracked"
        : known === undefined
          ? "added"
          : known === `${entry.mode.toString(8).padStart(6, "0")} ${entry.id}`
            ? "clean"
            : "changed";
    shipped.push({ path, kind: kindOf(entry), sizeBytes: size, state });
  }
  const names = new Set(entries.map(({ name }) => key(name)));
  return {
    ...summary(source, request),
    files: shipped.length,
    untracked: untracked.length,
    sizeBytes,
    lfsPointers: lfsPointers(staging.workTree, entries),
    shipped,
    deleted: [...before.values()]
      .filter(({ name, mode }) => mode !== submoduleMode && !names.has(key(name)))
      .map(({ name }) => showPath(name)),
    untrackedPaths: some(untracked),
    ignored: some(splitZero(ignored)),
    large,
  };
}

/** With --from: the files are those of a commit, whatever lies in the work tree. */
async function planOfCommit(
  source: Source,
  staging: Staging,
  commit: string,
  request: ShipmentRequest,
  options: Call,
): Promise<Plan> {
  const shipped: Plan["shipped"] = [];
  const files: (IndexEntry & { size: number })[] = [];
  const output = await staging.git(["ls-tree", "-r", "-l", "-z", "--full-tree", commit], options);
  for (const line of request.mode === "metadata-only" ? [] : splitZero(output)) {
    const tab = line.indexOf(0x09);
    const [mode = "", , id = "", size = ""] = line.toString("latin1", 0, tab).split(/ +/);
    const entry = { mode: Number.parseInt(mode, 8), id, name: line.subarray(tab + 1), skipped: false };
    checkSubmodules(source, request.mode, entry.mode === submoduleMode ? [entry] : []);
    const path = showPath(entry.name);
    files.push({ ...entry, size: Number(size) || 0 });
    shipped.push({ path, kind: kindOf(entry), sizeBytes: Number(size) || 0, state: "clean" });
  }
  return {
    ...summary(source, request),
    headCommit: commit,
    files: shipped.length,
    untracked: 0,
    sizeBytes: shipped.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    lfsPointers: await lfsPointersOf(staging, files, options),
    shipped,
    deleted: [],
    untrackedPaths: some([]),
    ignored: some([]),
    large: shipped
      .filter(({ sizeBytes }) => sizeBytes >= largeBytes)
      .map(({ path, sizeBytes }) => ({ path, sizeBytes })),
  };
}

function summary(source: Source, { mode, branch }: ShipmentRequest) {
  const { root, name, subdirectory, headCommit, settings } = source;
  return {
    root,
    name,
    subdirectory,
    mode,
    branch: mode === "copy" ? null : (branch ?? source.branch),
    headCommit,
    originUrl: originUrl(settings),
  };
}

/** "<mode> <id>" of each file of a commit. */
async function filesOf(staging: Staging, commit: string, options: Call): Promise<Map<string, string>> {
  const output = await staging.git(["ls-tree", "-r", "-z", "--full-tree", commit], options);
  return new Map(
    splitZero(output).map((line) => {
      const tab = line.indexOf(0x09);
      const [mode = "", , id = ""] = line.toString("latin1", 0, tab).split(" ");
      return [key(line.subarray(tab + 1)), `${mode} ${id}`];
    }),
  );
}

const key = (name: Buffer) => name.toString("latin1");

function some(names: readonly Buffer[]) {
  return { count: names.length, paths: names.slice(0, maxListed).map(showPath) };
}

function kindOf({ mode }: IndexEntry): Plan["shipped"][number]["kind"] {
  if (mode === linkMode) return "link";
  if (mode === submoduleMode) return "directory";
  return mode === executableMode ? "executable" : "file";
}

function statusOf(root: string, name: Buffer): Stats | undefined {
  return lstatSync(Buffer.concat([Buffer.from(`${root}/`), name]), { throwIfNoEntry: false });
}
