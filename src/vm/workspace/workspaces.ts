// Repositories in VMs: one verb at a time for each VM, never while its lock for starts and stops is held.
import { dirname } from "node:path";
import type { ParamsOf, ResultOf } from "../../api/methods.ts";
import type { VmRecord } from "../../api/records.ts";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import { readWorkspacePolicy, workspaceFileName } from "../../config/workspace-file.ts";
import type { GuestAgent } from "../../guest/agent.ts";
import { BangerError } from "../../lib/errors.ts";
import { removeInside, stagingDirectory } from "../../lib/files.ts";
import { KeyedMutex } from "../../lib/mutex.ts";
import { quietProgress, withSignal, type Progress } from "../../lib/progress.ts";
import { resolvePolicy } from "../../network/policy.ts";
import { inspect, plan } from "../../workspace/plan.ts";
import { headOf, openSource } from "../../workspace/source/source.ts";
import { removeOthers } from "./host-directory.ts";
import { prepareWorkspace } from "./prepare.ts";
import { wantedShipment } from "./request.ts";
import { statusOfWorkspace } from "./status.ts";
import { requireRoot, syncWorkspace } from "./sync.ts";
import { watchWorkspace } from "./watch.ts";
import type { Vms } from "../vms.ts";

type Call = { signal: AbortSignal };

/** What of the VMs workspaces need. */
export type WorkspaceVms = Pick<
  Vms,
  "agent" | "list" | "show" | "wait" | "onChange" | "workspacePrepared" | "activity"
>;

export class Workspaces {
  readonly #vms: WorkspaceVms;
  readonly #scratch: string;
  readonly #locks = new KeyedMutex();

  /** `scratch`: a directory for what is looked at without a VM. */
  constructor(vms: WorkspaceVms, scratch: string) {
    this.#vms = vms;
    this.#scratch = scratch;
  }

  /** Removes what a daemon that was killed was making. Before the first call. */
  async recover(): Promise<void> {
    for (const record of this.#vms.list()) await removeOthers(record, "all");
    await removeInside(dirname(this.#scratch), this.#scratch);
  }

  /** What would be shipped. Throws `workspace.not-a-repository`, `workspace.failed`. */
  async inspect(params: ParamsOf<"workspace.inspect">, options: Call): Promise<ResultOf<"workspace.inspect">> {
    await using scratch = await stagingDirectory(this.#scratch);
    const source = await openSource(params.path, options);
    return await inspect(source, scratch.path, wantedShipment(params), options);
  }

  /** The same with each file. */
  async plan(params: ParamsOf<"workspace.plan">, options: Call): Promise<ResultOf<"workspace.plan">> {
    await using scratch = await stagingDirectory(this.#scratch);
    const source = await openSource(params.path, options);
    return await plan(source, scratch.path, wantedShipment(params), options);
  }

  /** What the banger.toml in a directory says of the network; null: nothing. Throws `config.invalid`, `network.policy-invalid`. */
  async policy(root: string) {
    const table = await readWorkspacePolicy(root);
    if (table === undefined) return null;
    // Checked as if it had been asked for: what is shown is what would hold.
    const { mode, ...rules } = table;
    return resolvePolicy({ use: mode, name: workspaceFileName, ...rules }, { fallback: "none", policies: new Map() });
  }

  /** Ships the whole repository, also when a subdirectory was named: commands then run in that one. */
  async prepare(params: ParamsOf<"workspace.prepare">, progress: Progress): Promise<ResultOf<"workspace.prepare">> {
    return await this.#atWork(params.vm, progress.signal, async (record, agent, signal) =>
      prepareWorkspace(this.#vms, { record, agent }, params, withSignal(progress, signal)),
    );
  }

  /**
   * Brings a workspace up to date with the host: the changed files alone while the host is on the same commit, else all of it anew.
   * Throws `workspace.none`, `workspace.changed`.
   */
  async refresh(vm: string, progress: Progress): Promise<void> {
    const { workspace } = this.#workspace(vm);
    const { signal } = progress;
    const moved = (await this.hostMoved(vm, { signal })).moved;
    if (!moved && workspace.mode !== "metadata-only") {
      await this.sync(vm, { force: false, signal });
      return;
    }
    const { sourcePath: path, mode, includeUntracked, guestPath, branch } = workspace;
    const ownBranch = branch !== null && branch !== (await openSource(path, { signal })).branch ? { branch } : {};
    await this.prepare({ vm, path, mode, includeUntracked, guestPath, ...ownBranch }, progress);
  }

  /** Whether the host's repository is on another commit than when it was shipped. Throws `workspace.none`. */
  async hostMoved(vm: string, options: Call): Promise<{ moved: boolean; headCommit: string | null }> {
    const { record, workspace } = this.#workspace(vm);
    await requireRoot(record, workspace);
    const headCommit = await headOf(workspace.root, options);
    return { moved: headCommit !== workspace.headCommit, headCommit };
  }

  /** Throws `workspace.none`. A VM that does not run is no error: the host's part is told. */
  async status(vm: string, options: Call): Promise<ResultOf<"workspace.status">> {
    const { record, workspace } = this.#workspace(vm);
    using deleted = this.#whenDeleted(record);
    const signal = AbortSignal.any([options.signal, deleted.signal]);
    try {
      using _lock = await this.#locks.acquire(record.id, signal);
      return await statusOfWorkspace(this.#vms, record, workspace, { signal });
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }

  /** Throws `workspace.none`. Files that the guest has changed, too, are left alone unless forced. */
  async sync(vm: string, { force, signal }: Call & { force: boolean }): Promise<ResultOf<"workspace.sync">> {
    return await this.#atWork(vm, signal, async ({ id }, agent, either) => {
      const { record, workspace } = this.#workspace(id);
      return await syncWorkspace(this.#vms, { record, agent, workspace }, { force, progress: quietProgress(either) });
    });
  }

  /** Syncs now and after each change of the host's files, until the signal aborts. One result for each time that something went in. */
  watch(vm: string, { force, signal }: Call & { force: boolean }): AsyncIterable<ResultOf<"workspace.watch">> {
    const target = this.#workspace(vm);
    return watchWorkspace(this.#vms, target, () => this.sync(target.record.id, { force, signal }), signal);
  }

  /** Works with the guest of a running VM. When its machine ends, the work is cut short, and its error says what became of the VM. */
  async #atWork<T>(
    vm: string,
    signal: AbortSignal,
    work: (record: VmRecord, agent: GuestAgent, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { record, agent, ended } = await this.#vms.agent(vm);
    const either = AbortSignal.any([signal, ended]);
    try {
      using _lock = await this.#locks.acquire(record.id, either);
      using _activity = this.#vms.activity.begin(record.id);
      // Others may have prepared it while this one waited.
      return await work(this.#vms.show(record.id), agent, either);
    } catch (error) {
      // Files go with a VM that is deleted: what failed by that is only the consequence.
      either.throwIfAborted();
      throw error;
    }
  }

  /** Aborted once the VM is deleted: what is known of its workspace goes with it, and nobody must write there then. */
  #whenDeleted({ id, name }: VmRecord): { signal: AbortSignal } & Disposable {
    const gone = new AbortController();
    const listener = this.#vms.onChange((changed) => {
      if (changed !== id || this.#vms.list().some((vm) => vm.id === id)) return;
      gone.abort(new BangerError("vm.not-found", `VM "${name}" was deleted`, { hint: "banger vm list" }));
    });
    return { signal: gone.signal, [Symbol.dispose]: () => listener[Symbol.dispose]() };
  }

  #workspace(vm: string): { record: VmRecord; workspace: WorkspaceRecord } {
    const record = this.#vms.show(vm);
    const { workspace } = record;
    if (workspace === null) {
      throw new BangerError("workspace.none", `no repository was put into VM "${record.name}"`, {
        hint: `banger vm workspace prepare ${record.name} .`,
      });
    }
    return { record, workspace };
  }
}
