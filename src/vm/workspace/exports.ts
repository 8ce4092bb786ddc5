// What guests changed, on its way back to the host: fetched into quarantines that live for some minutes, read and applied from there.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import type { VmRecord } from "../../api/records.ts";
import type { ParamsOf, ResultOf } from "../../api/methods.ts";
import type { WorkspaceExport } from "../../api/workspace-export-methods.ts";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import type { GuestAgent } from "../../guest/agent.ts";
import { deadline } from "../../lib/abort.ts";
import { BangerError } from "../../lib/errors.ts";
import { removeUnfinishedStaging } from "../../lib/files.ts";
import type { Logger } from "../../lib/log.ts";
import { KeyedMutex } from "../../lib/mutex.ts";
import type { Progress } from "../../lib/progress.ts";
import { applyChanges, recoverApplies } from "../../workspace/apply/apply.ts";
import { makeBranch } from "../../workspace/apply/branch.ts";
import { hostIdentity, openHostRepository, type HostRepository } from "../../workspace/apply/host-repository.ts";
import type { Conflict } from "../../workspace/apply/plan.ts";
import type { RunInGuest } from "../../workspace/export/collect.ts";
import { checkBranchName, commitOf, writeBundle, writeDiff, writePatch } from "../../workspace/export/formats.ts";
import { checkCommits, fetchGuestState, type GuestState } from "../../workspace/export/guest-state.ts";
import {
  changedSubmodules,
  noSubmodules,
  submodulesOf,
  treeOfCommit,
  type Submodules,
} from "../../workspace/export/submodules.ts";
import { fileStats, type FileStat } from "../../workspace/export/stat.ts";
import { worthALook } from "../../workspace/export/worth-a-look.ts";
import { Quarantine } from "../../workspace/quarantine/quarantine.ts";
import { showPath } from "../../workspace/quarantine/show-path.ts";
import { hostDirectory } from "./host-directory.ts";
import { requireRoot } from "./sync.ts";
import type { Activity } from "../activity.ts";

export interface WorkspaceExportsOptions {
  vms: {
    agent(reference: string): Promise<{ record: VmRecord; agent: GuestAgent; ended: AbortSignal }>;
    readonly activity: Activity;
  };
  /** Quarantines are made in the first, journals of what is being applied in the second. */
  paths: { exportsDir: string; appliesDir: string };
  /** What is taken of a guest unless a request says otherwise. */
  maxBytes: number;
  log: Logger;
}

/** How long a guest may take to pack, and each git of the host to read it. */
const timeoutMs = 10 * 60_000;
/** How long an export is kept after it was last used. */
const keptMs = 10 * 60_000;
const maxKept = 8;
const maxListed = 500;

interface Kept {
  quarantine: Quarantine;
  state: GuestState;
  vm: VmRecord;
  repository: HostRepository;
  submodules: Submodules;
  shown: WorkspaceExport;
  /** Calls that use it now. */
  users: number;
  timer: NodeJS.Timeout;
}

export class WorkspaceExports implements AsyncDisposable {
  readonly #options: WorkspaceExportsOptions;
  readonly #kept = new Map<string, Kept>();
  readonly #applying = new KeyedMutex();

  constructor(options: WorkspaceExportsOptions) {
    this.#options = options;
  }

  /** Undoes what a daemon that died was applying, and removes its quarantines. The first call. */
  async recover(): Promise<void> {
    const { paths, log } = this.#options;
    for (const problem of await recoverApplies(paths.appliesDir)) {
      log.error("what was being applied to a repository could not be undone", { problem });
    }
    await removeUnfinishedStaging(paths.exportsDir);
  }

  async export(params: ParamsOf<"workspace.export">, progress: Progress): Promise<WorkspaceExport> {
    using limit = deadline(
      progress.signal,
      timeoutMs,
      () => new BangerError("timeout", `the workspace was not packed within ${timeoutMs / 60_000} minutes`),
    );
    const { signal } = limit;
    const { vm, against, baseCommit, maxBytes = this.#options.maxBytes } = params;
    const one = await this.#workspace(vm);
    const other = against === undefined ? undefined : await this.#workspace(against);
    const repository = await openRepository(one, signal);
    // With git they are not shipped at all.
    const submodules = one.workspace.mode === "copy" ? await submodulesOf(repository, signal) : noSubmodules;
    const otherRepository = other === undefined ? undefined : await openRepository(other, signal);
    const objects = new Set([repository, otherRepository].flatMap((found) => found?.objects ?? []));
    const shipped = [one, other].flatMap((side) => (side === undefined ? [] : [shippedObjects(side)]));
    for (const borrowed of shipped) objects.add(borrowed);
    const { format } = repository;
    const directory = this.#options.paths.exportsDir;
    await using undo = new AsyncDisposableStack();
    const quarantine = undo.use(
      await Quarantine.open({ directory, objects: [...objects], format, maxBytes, timeoutMs }),
    );
    // A delete or the next prepare removes it, and what is shown must stay what is applied.
    for (const borrowed of shipped) await quarantine.keep(borrowed);
    const fetch = async ({ record, workspace, agent, ended }: typeof one) => {
      progress.stage("pack", record.name);
      using _activity = this.#options.vms.activity.begin(record.id);
      const base = against === undefined ? baseCommit : undefined;
      return await fetchGuestState(runIn(agent, ended), { vm: record.name, workspace, base, maxBytes }, quarantine, {
        signal,
      });
    };
    let state = await fetch(one);
    if (other !== undefined) {
      const theirs = await fetch(other);
      const changes = await quarantine.changes(theirs.tree, state.tree, signal);
      state = { ...state, baseTree: theirs.tree, changes };
    }
    progress.stage("look", one.record.name);
    const [stats, notes, commits] = await Promise.all([
      fileStats(quarantine, state.baseTree, state.tree, signal),
      worthALook(quarantine, state.changes, signal),
      commitCount(quarantine, state, signal),
    ]);
    const id = randomBytes(8).toString("hex");
    const named = ({ record }: typeof one) => ({ id: record.id, name: record.name });
    const shown: WorkspaceExport = {
      id,
      vm: named(one),
      against: other === undefined ? null : named(other),
      root: repository.root,
      headCommit: state.head ?? null,
      branch: state.branch ?? null,
      commits,
      files: stats.slice(0, maxListed),
      fileCount: stats.length,
      added: sum(stats, "added"),
      removed: sum(stats, "removed"),
      submodules: changedSubmodules(submodules, state.changes),
      notes: [...state.notes, ...notes],
    };
    const timer = setTimeout(() => void this.forget(id), keptMs).unref();
    this.#kept.set(id, { quarantine, state, vm: one.record, repository, submodules, shown, users: 0, timer });
    undo.move();
    await this.#dropOldest();
    return shown;
  }

  /** The stream fails when git does. */
  async read({ export: id, format, branch }: ParamsOf<"workspace.read">, signal: AbortSignal): Promise<Readable> {
    const kept = this.#find(id);
    const { quarantine, state } = kept;
    const output = new PassThrough({ highWaterMark: 256 * 1024 });
    const gone = new AbortController();
    const both = AbortSignal.any([signal, gone.signal]);
    output.once("close", () => gone.abort(new BangerError("cancelled", "nobody reads the export any more")));
    const write = async () => {
      if (format === "patch") return writePatch(quarantine, state, output, both);
      if (format === "diff") return writeDiff(quarantine, state, output, both);
      const name = branch ?? defaultBranch(kept);
      const commit = await this.#commit(kept, name, both);
      return writeBundle(quarantine, { branch: name, commit, start: state.start }, output, both);
    };
    kept.users += 1;
    write()
      .catch((error: unknown) => output.destroy(error instanceof Error ? error : new Error(String(error))))
      .finally(() => this.#used(kept));
    return output;
  }

  async apply(params: ParamsOf<"workspace.apply">, progress: Progress): Promise<ResultOf<"workspace.apply">> {
    const { export: id, branch, check = false } = params;
    const kept = this.#find(id);
    const { quarantine, state, shown } = kept;
    const { signal } = progress;
    if (shown.against !== null) {
      throw new BangerError("usage", "what differs between two VMs cannot be applied: export one of them");
    }
    kept.users += 1;
    try {
      const repository = await openHostRepository(kept.repository.root, signal);
      using _lock = await this.#applying.acquire(repository.root, signal);
      progress.stage(check ? "check" : "apply", repository.root);
      if (branch !== undefined) {
        const commit = await this.#commit(kept, branch, signal);
        const { start } = state;
        const { commits } = await makeBranch({ quarantine, repository, branch, commit, start, check, signal });
        return { changed: 0, unchanged: 0, conflicts: [], branch, commit, commits };
      }
      const { changes } = state;
      const journalDirectory = this.#options.paths.appliesDir;
      const { within } = kept.submodules;
      const applied = await applyChanges({ quarantine, changes, repository, within, journalDirectory, check, signal });
      if (applied.conflicts.length > 0 && !check) throw conflictError(kept, applied.conflicts);
      const conflicts = applied.conflicts.slice(0, maxListed).map(shownConflict);
      return { ...applied, conflicts, branch: null, commit: null, commits: 0 };
    } finally {
      this.#used(kept);
    }
  }

  async forget(id: string): Promise<void> {
    const kept = this.#kept.get(id);
    if (kept === undefined || kept.users > 0) return;
    this.#kept.delete(id);
    clearTimeout(kept.timer);
    await kept.quarantine[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [id, kept] of this.#kept) {
      kept.users = 0;
      await this.forget(id);
    }
  }

  async #workspace(reference: string) {
    const { record, agent, ended } = await this.#options.vms.agent(reference);
    const { workspace } = record;
    if (workspace === null) {
      throw new BangerError("workspace.none", `no repository was put into VM "${record.name}"`, {
        hint: `banger vm workspace prepare ${record.name} <path>`,
      });
    }
    return { record, agent, ended, workspace };
  }

  #find(id: string): Kept {
    const kept = this.#kept.get(id);
    if (kept !== undefined) return kept;
    throw new BangerError("workspace.failed", `there is no export "${id}" any more`, {
      hint: "banger vm workspace export <vm>",
    });
  }

  #used(kept: Kept): void {
    kept.users -= 1;
    kept.timer.refresh();
  }

  async #dropOldest(): Promise<void> {
    for (const [id, { users }] of this.#kept) {
      if (this.#kept.size <= maxKept) return;
      if (users === 0) await this.forget(id);
    }
  }

  /** The guest's files as a commit, all commits below it checked. */
  async #commit(kept: Kept, branch: string, signal: AbortSignal): Promise<string> {
    const { quarantine, state, vm, repository, submodules, shown } = kept;
    await checkBranchName(quarantine, branch, signal);
    await checkCommits(quarantine, state, signal);
    const identity = await hostIdentity(repository.root, signal);
    const message = `Uncommitted changes of ${vm.name}`;
    const tree = await treeOfCommit(quarantine, state, submodules, signal);
    const commit = await commitOf(quarantine, { ...state, tree }, { message, ...identity }, signal);
    if (commit !== state.start || shown.submodules.length === 0) return commit;
    const names = shown.submodules.map(({ path }) => `"${path}"`).join(", ");
    throw new BangerError(
      "workspace.failed",
      `all that "${vm.name}" changed lies in submodules (${names}), and a commit of "${repository.root}" cannot hold that`,
      { hint: `banger vm workspace export ${vm.name} --apply  # into the files of the submodules` },
    );
  }
}

type Side = { record: VmRecord; workspace: WorkspaceRecord };

/** Throws `workspace.not-a-repository` with what can be done about it. */
async function openRepository({ record, workspace }: Side, signal: AbortSignal): Promise<HostRepository> {
  await requireRoot(record, workspace);
  return await openHostRepository(workspace.root, signal);
}

/** What was shipped of a VM's workspace and is in no commit. Git passes over a directory that is not there. */
function shippedObjects({ record, workspace }: Side): string {
  return join(hostDirectory(record.dir, workspace), "git/objects");
}

function runIn(agent: GuestAgent, ended: AbortSignal): RunInGuest {
  return async ({ argv, stdout, stderr }, { signal }) => {
    const { exited } = await agent.exec({ argv, cwd: "/", user: "root", stdout, stderr }, { signal });
    const { code } = await exited;
    // A VM that is being stopped ends its processes: that is no fault of git.
    if (code !== 0) ended.throwIfAborted();
    return code;
  };
}

async function commitCount({ git }: Quarantine, { head, start }: GuestState, signal: AbortSignal): Promise<number> {
  if (head === undefined || head === start) return 0;
  const not = start === undefined ? [] : [`^${start}`];
  return Number((await git(["rev-list", "--count", head, ...not], { signal })).stdout.toString());
}

function defaultBranch({ state, vm }: Kept): string {
  return state.branch ?? `banger/${vm.name}`;
}

function sum(stats: readonly FileStat[], what: "added" | "removed"): number {
  return stats.reduce((total, stat) => total + (stat[what] ?? 0), 0);
}

function shownConflict({ path, why }: Conflict) {
  return { path: showPath(path), why };
}

function conflictError({ vm, repository }: Kept, conflicts: readonly Conflict[]): BangerError {
  const shown = conflicts.slice(0, maxListed).map(shownConflict);
  const first = shown.slice(0, 10).map(({ path, why }) => `"${path}": ${why}`);
  const more = conflicts.length > first.length ? `; and ${conflicts.length - first.length} more` : "";
  return new BangerError(
    "workspace.conflict",
    `nothing was applied to "${repository.root}", as the host has changes that do not fit: ${first.join("; ")}${more}`,
    {
      details: { conflicts: shown },
      hint: `banger vm workspace export ${vm.name} --apply --branch from-${vm.name}`,
    },
  );
}
