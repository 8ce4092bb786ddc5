// All VMs of one home: finds the one that is meant, takes its lock, runs the verb, shows the record.
import type { NetworkChange } from "../api/network-records.ts";
import type { VmRecord } from "../api/records.ts";
import type { GuestAgent } from "../guest/agent.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { KeyedMutex } from "../lib/mutex.ts";
import type { Progress } from "../lib/progress.ts";
import type { VmRow } from "../state/vms.ts";
import { Activity } from "./activity.ts";
import type { VmContext } from "./context.ts";
import { VmChanges } from "./changes.ts";
import { giveAddresses } from "./addresses.ts";
import { createVm, type CreateRequest } from "./create.ts";
import { Forwards } from "./forward/forwards.ts";
import { ForwardVerbs } from "./forward/verbs.ts";
import { Networks, type NetworksOptions } from "../network/networks.ts";
import { introduceAll, PeerVerbs } from "./network/peers.ts";
import { SecretVerbs } from "./network/secret-verbs.ts";
import { NetworkVerbs } from "./network/verbs.ts";
import { hasEnded, wasDeleted, wasEnded, wasRestarted } from "./cut-off.ts";
import { pauseVm } from "./pause.ts";
import { recordOf, type RecordParts } from "./record-of.ts";
import { reconnectGuest, recoverVms } from "./recover.ts";
import { findVm } from "./reference.ts";
import { LookVerbs } from "./look-verbs.ts";
import { keepUse, touchVm } from "./last-use.ts";
import { labelVm, renameVm } from "./relabel.ts";
import { removeVm } from "./remove.ts";
import { resumeOrBoot } from "./resume.ts";
import { pausedError, runningSession } from "./running.ts";
import { Sessions, type Session } from "./sessions.ts";
import { Pins } from "./snapshot/pins.ts";
import { recoverSnapshots } from "./snapshot/recover.ts";
import { isListed } from "./snapshot/reference.ts";
import { Snapshots } from "./snapshot/snapshots.ts";
import { setVm } from "./set.ts";
import type { SpecRequest } from "./spec.ts";
import { startVm, type StartOptions } from "./start.ts";
import { StartLog, type StartStats } from "./start-stats.ts";
import { killVm, type StopOptions, stopVm } from "./stop.ts";
import { takeOver } from "./take-over.ts";
import { waitForVm } from "./wait.ts";
import type { VmEvent, WaitCondition } from "../api/vm-record-methods.ts";
import type { WorkspaceRecord } from "../api/workspace-record.ts";

export type VmsOptions = Omit<
  VmContext,
  "sessions" | "locks" | "starting" | "starts" | "pins" | "forwards" | "networks"
> & { network: Pick<NetworksOptions, "program" | "resolvers"> };

export class Vms {
  readonly #context: VmContext;
  readonly #changes: VmChanges;
  readonly #recordParts: RecordParts;
  /** What goes on in these VMs; whoever begins something says so there. */
  readonly activity = new Activity();
  /** Of these VMs. */
  readonly snapshots: Snapshots;
  /** Ports and sockets of the host that lead into them, and their addresses. */
  readonly forwards: ForwardVerbs;
  readonly networks: NetworkVerbs;
  readonly secrets: SecretVerbs;
  readonly peers: PeerVerbs;
  readonly looks: LookVerbs;

  constructor(options: VmsOptions) {
    const sessions = new Sessions(
      {
        onExit: (vmId, reason) => this.#ended(vmId, "stopped", reason),
        onBroken: (vmId, reason) => this.#ended(vmId, "broken", reason),
        whyEnded: (vmId, reason) => hasEnded(this.#context.state.vms.get(vmId) ?? { name: vmId }, reason),
        reconnect: (machine, call) => reconnectGuest(this.#context, machine, call),
      },
      options.log,
    );
    const starts = new StartLog(options.state.starts, options.log);
    const pins = new Pins();
    this.#changes = new VmChanges(options.state.vms);
    const state = { ...options.state, vms: this.#changes.observed() };
    const forwards = new Forwards({ table: state.vms, sessions, activity: this.activity, log: options.log });
    this.#changes.listen(({ kind }, id) => {
      if (["created", "state", "deleted"].includes(kind)) void forwards.settle(id);
      if (["state", "deleted", "renamed", "network"].includes(kind)) void introduceAll(this.#context);
    });
    const networks = new Networks({
      ...options.network,
      vmsDir: options.paths.vmsDir,
      secrets: options.secrets,
      log: options.log,
      onLost: (vmId, reason) => void this.networks.lost(vmId, reason),
    });
    const own = { state, sessions, starts, pins, forwards, networks, locks: new KeyedMutex(), starting: new Map() };
    this.#context = { ...options, ...own };
    this.activity.listen((id, open) => open === 0 && keepUse(state.vms, this.activity, id));
    this.snapshots = new Snapshots(this.#context, (id) => this.show(id));
    this.forwards = new ForwardVerbs(this.#context);
    this.networks = new NetworkVerbs(this.#context);
    this.secrets = new SecretVerbs(this.#context);
    this.peers = new PeerVerbs(this.#context);
    const networkOf = this.networks.stateOf.bind(this.networks);
    this.#recordParts = { context: this.#context, activity: this.activity, networkOf };
    this.looks = new LookVerbs(this.#context, (row) => this.#record(row));
  }

  /** Makes record and reality agree; the first call of a daemon. */
  async recover(options: { signal: AbortSignal }): Promise<void> {
    const { addresses, forwards, state } = this.#context;
    await forwards.sweep();
    await recoverVms(this.#context, options);
    await recoverSnapshots(this.#context);
    await this.networks.recover(options);
    if (addresses !== undefined) giveAddresses(addresses, state.vms);
    const withForwards = state.vms.list().filter((row) => row.forwards.length > 0);
    await Promise.all(withForwards.map(({ id }) => forwards.settle(id)));
  }

  /** Ends every machine at once and records nothing: for a home that was deleted, with the machines' disks. */
  endAll(): Promise<void> {
    return this.#context.sessions.endAll();
  }

  /** Lets go of all machines; they go on running. */
  async close(): Promise<void> {
    keepUse(this.#context.state.vms, this.activity);
    this.#context.forwards.close();
    this.#context.networks.close();
    await this.snapshots.close();
    await this.#context.sessions.close();
    this.#context.starts[Symbol.dispose]();
  }

  /** How long the last starts took. */
  startStats(): StartStats {
    return this.#context.starts.stats();
  }

  runningCount(): number {
    return this.#context.sessions.size;
  }

  /** Newest first. */
  list(): VmRecord[] {
    return this.#context.state.vms.list().map((row) => this.#record(row));
  }

  show(reference: string): VmRecord {
    return this.#record(this.#find(reference));
  }

  async create(request: CreateRequest, progress: Progress, onNamed?: (name: string) => void): Promise<VmRecord> {
    const { from } = request;
    const row =
      from === undefined
        ? await createVm(this.#context, request, progress, onNamed)
        : await this.snapshots.createVm({ ...request, from }, progress, onNamed);
    return this.#current(row);
  }

  async start(reference: string, options: StartOptions, progress: Progress): Promise<VmRecord> {
    const row = this.#find(reference);
    using _lock = await this.#context.locks.acquire(row.id, progress.signal);
    const now = this.#byId(row);
    if (now.state === "paused") throw pausedError(now);
    if (this.#context.sessions.get(row.id) !== undefined) {
      const running = now.state === "running";
      throw new BangerError("vm.wrong-state", `VM "${row.name}" is ${now.state} ${running ? "already" : "still"}`, {
        hint: running ? `banger vm exec ${row.name} -- uname -a` : `banger vm restart ${row.name}`,
      });
    }
    await this.#context.forwards.prepare(now);
    await startVm(this.#context, now, progress, { cold: options.cold });
    return this.#current(row);
  }

  async stop(reference: string, progress: Progress, options: StopOptions = {}): Promise<VmRecord> {
    const row = this.#find(reference);
    using _lock = await this.#context.locks.acquire(row.id, progress.signal);
    await stopVm(this.#context, this.#byId(row), progress, options);
    return this.#current(row);
  }

  async restart(reference: string, options: StartOptions, progress: Progress): Promise<VmRecord> {
    const row = this.#find(reference);
    using _lock = await this.#context.locks.acquire(row.id, progress.signal);
    // What ends the VM meanwhile ends the whole verb: it must not come up again.
    const cut = new AbortController();
    this.#context.starting.set(row.id, cut);
    try {
      await stopVm(this.#context, this.#byId(row), progress, { why: wasRestarted(row) });
      cut.signal.throwIfAborted();
    } finally {
      this.#context.starting.delete(row.id);
    }
    await this.#context.forwards.prepare(this.#byId(row));
    await startVm(this.#context, this.#byId(row), progress, { cold: options.cold });
    return this.#current(row);
  }

  async pause(reference: string, options: { keepRunning: boolean }, progress: Progress): Promise<VmRecord> {
    const row = this.#find(reference);
    using _lock = await this.#context.locks.acquire(row.id, progress.signal);
    const now = this.#byId(row);
    await pauseVm(this.#context, now, this.#running(now), options, progress);
    return this.#current(row);
  }

  async resume(reference: string, progress: Progress): Promise<VmRecord> {
    const row = this.#find(reference);
    using _lock = await this.#context.locks.acquire(row.id, progress.signal);
    const now = this.#byId(row);
    if (now.state !== "paused") {
      throw new BangerError("vm.wrong-state", `VM "${row.name}" is not paused (${now.state})`, {
        hint: `banger vm show ${row.name}`,
      });
    }
    await resumeOrBoot(this.#context, now, progress);
    return this.#current(row);
  }

  /** Does not wait for a start or stop that is under way: it cuts it short. */
  async kill(reference: string, options: { signal: AbortSignal }): Promise<VmRecord> {
    const row = this.#find(reference);
    using _lock = await takeOver(this.#context, row, wasEnded(row), options.signal);
    await killVm(this.#context, this.#byId(row));
    return this.#current(row);
  }

  /** `onlyIdle`: throws `vm.wrong-state` for a VM that runs, is paused or on its way. */
  async delete(
    reference: string,
    progress: Progress,
    { onlyIdle = false }: { onlyIdle?: boolean | undefined } = {},
  ): Promise<void> {
    const row = this.#find(reference);
    progress.stage("delete", row.name);
    if (onlyIdle) {
      using _lock = await this.#context.locks.acquire(row.id, progress.signal);
      const now = this.#byId(row);
      if (!idleStates.has(now.state)) {
        throw new BangerError("vm.wrong-state", `VM "${now.name}" is ${now.state}`, {
          hint: `banger vm delete ${now.name}  # in whatever state`,
        });
      }
      await removeVm(this.#context, now);
      return;
    }
    using _lock = await takeOver(this.#context, row, wasDeleted(row), progress.signal);
    await removeVm(this.#context, this.#byId(row));
  }

  /**
   * The agent of a running VM. `ended`: aborted when its machine ends or is to end, with what became of the VM. Throws `vm.wrong-state` (not running),
   * `vm.broken`, or why the guest does not answer.
   */
  async agent(reference: string): Promise<{ record: VmRecord; agent: GuestAgent; ended: AbortSignal }> {
    const row = this.#find(reference);
    const session = this.#running(row);
    return { record: this.#record(row), agent: await session.agent, ended: session.ended.signal };
  }

  async health(
    reference: string,
    options: { signal: AbortSignal },
  ): Promise<{ healthy: boolean; reason: string; uptimeMs: number }> {
    const { agent } = await this.agent(reference);
    return await agent.health(options);
  }

  async set(
    reference: string,
    { network, ...change }: SpecRequest & { network?: NetworkChange | undefined },
    progress: Progress,
  ) {
    const row = this.#find(reference);
    // First: whoever takes a network away wants it gone, whatever becomes of the sizes.
    if (network !== undefined) await this.networks.change(row.id, network, progress);
    using _lock = await this.#context.locks.acquire(row.id, progress.signal);
    const atNextStart = await setVm(this.#context, this.#byId(row), change, progress);
    return { vm: this.#current(row), atNextStart };
  }

  touch(reference: string, { ttlMs }: { ttlMs?: number | undefined }): VmRecord {
    const row = this.#find(reference);
    touchVm(this.#context.state.vms, this.activity, row, ttlMs);
    return this.#current(row);
  }

  onChange(listener: (id: string) => void): Disposable {
    return this.#changes.listen((_event, id) => listener(id));
  }

  rename(reference: string, name: string): VmRecord {
    const row = this.#find(reference);
    renameVm(this.#context.state.vms, row, name);
    return this.#current(row);
  }

  label(reference: string, change: Parameters<typeof labelVm>[2]): VmRecord {
    const row = this.#find(reference);
    labelVm(this.#context.state.vms, row, change);
    return this.#current(row);
  }

  /** The record then; undefined when its end was waited for, which a VM that is not there has reached. */
  async wait(
    reference: string,
    condition: WaitCondition,
    options: Parameters<typeof waitForVm>[4],
  ): Promise<VmRecord | undefined> {
    let row: VmRow;
    try {
      row = this.#find(reference);
    } catch (error) {
      if (condition === "deleted" && toBangerError(error).code === "vm.not-found") return undefined;
      throw error;
    }
    await waitForVm(this.#context, this.#changes, row, condition, options);
    return condition === "deleted" ? undefined : this.#current(row);
  }

  /** Changes of one VM, or of all. */
  events(reference: string | undefined, signal: AbortSignal): AsyncIterable<VmEvent> {
    return this.#changes.watch(reference === undefined ? undefined : this.#find(reference).id, signal);
  }

  /** Records where a repository was put: commands start there. */
  workspacePrepared(reference: string, workspace: WorkspaceRecord): void {
    this.#context.state.vms.update(this.#find(reference).id, { workspace });
  }

  /** Names of the VMs that need the image. */
  usersOfImage(imageId: string): string[] {
    return this.#context.state.vms.list().flatMap((row) => (row.imageId === imageId ? [row.name] : []));
  }

  /** Names of the VMs that need the kernel. */
  usersOfKernel(kernelId: string): string[] {
    return this.#context.state.vms.list().flatMap((row) => (row.kernelId === kernelId ? [row.name] : []));
  }

  /** Names of the snapshots that need the image or kernel. Those without a name carry disks of VMs that need it, too. */
  snapshotsOf(kind: "imageId" | "kernelId", id: string): string[] {
    return this.#context.state.snapshots.list().flatMap((row) => (isListed(row) && row[kind] === id ? [row.name] : []));
  }

  #running(row: VmRow): Session {
    return runningSession(this.#context.sessions, row);
  }

  #ended(vmId: string, state: "stopped" | "broken", reason: string): void {
    if (this.#context.state.vms.get(vmId) === undefined) return;
    if (reason !== "") this.#context.log.warn(`VM is ${state}`, { vm: vmId, reason });
    // A machine that is gone has no use for it; that of a broken VM runs on.
    if (state === "stopped") void this.networks.machineEnded(vmId);
    this.#context.state.vms.update(vmId, { state, reason, ...(state === "stopped" ? { bootId: null } : {}) });
  }

  #find(reference: string): VmRow {
    return findVm(this.#context.state.vms.list(), reference);
  }

  /** The record as it is now, after waiting for the lock: the VM may be gone. Throws `vm.not-found`. */
  #byId({ id, name }: VmRow): VmRow {
    const now = this.#context.state.vms.get(id);
    if (now === undefined)
      throw new BangerError("vm.not-found", `VM "${name}" was deleted`, { hint: "banger vm list" });
    return now;
  }

  #current(row: VmRow): VmRecord {
    return this.#record(this.#byId(row));
  }

  #record(row: VmRow): VmRecord {
    return recordOf(this.#recordParts, row);
  }
}

const idleStates: ReadonlySet<VmRow["state"]> = new Set(["created", "stopped", "broken"]);
