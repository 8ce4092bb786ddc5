// All VMs of one home: finds the one that is meant, takes its lock, runs the verb, shows the record.
import { statSync } from "node:fs";
import { join } from "node:path";
import type { NetworkChange } from "../api/network-records.ts";
import type { VmRecord } from "../api/records.ts";
import { vmPaths } from "../config/paths.ts";
import type { GuestAgent } from "../guest/agent.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { KeyedMutex } from "../lib/mutex.ts";
import type { Progress } from "../lib/progress.ts";
import { ensureClientKey } from "../ssh/client-key.ts";
import { hostAlias } from "../ssh/known-hosts.ts";
import type { VmRow } from "../state/vms.ts";
import { Activity } from "./activity.ts";
import type { VmContext } from "./context.ts";
import { VmChanges } from "./changes.ts";
import { giveAddresses } from "./addresses.ts";
import { createVm, type CreateRequest } from "./create.ts";
import { vmDisk, writableSerials } from "./disk-files.ts";
import { Forwards } from "./forward/forwards.ts";
import { withOwnAddress } from "./forward/plan.ts";
import { ForwardVerbs } from "./forward/verbs.ts";
import { Networks, type NetworksOptions } from "../network/networks.ts";
import { introduceAll, PeerVerbs } from "./network/peers.ts";
import { SecretVerbs } from "./network/secret-verbs.ts";
import { NetworkVerbs } from "./network/verbs.ts";
import { pauseVm } from "./pause.ts";
import { pausedMemoryBytes } from "./paused-memory.ts";
import { reconnectGuest, recoverVms } from "./recover.ts";
import { findVm } from "./reference.ts";
import { PortList, statsOf } from "./look.ts";
import { keepUse, lastUsed, touchVm } from "./last-use.ts";
import { labelVm, renameVm } from "./relabel.ts";
import { removeVm } from "./remove.ts";
import { resumeOrBoot } from "./resume.ts";
import { Sessions, type Session } from "./sessions.ts";
import { Pins } from "./snapshot/pins.ts";
import { recoverSnapshots } from "./snapshot/recover.ts";
import { isListed } from "./snapshot/reference.ts";
import { Snapshots } from "./snapshot/snapshots.ts";
import { setVm } from "./set.ts";
import type { SpecRequest } from "./spec.ts";
import { startVm, type StartOptions } from "./start.ts";
import { StartLog, type StartStats } from "./start-stats.ts";
import { killVm, stopVm } from "./stop.ts";
import { waitForVm } from "./wait.ts";
import type { GuestPort, VmStats } from "../api/guest-methods.ts";
import type { VmEvent, WaitCondition } from "../api/vm-record-methods.ts";
import type { WorkspaceRecord } from "../api/workspace-record.ts";

export type VmsOptions = Omit<
  VmContext,
  "sessions" | "locks" | "starting" | "starts" | "pins" | "forwards" | "networks"
> & { network: Pick<NetworksOptions, "program" | "resolvers"> };

export class Vms {
  readonly #context: VmContext;
  readonly #changes: VmChanges;
  /** What goes on in these VMs; whoever begins something says so there. */
  readonly activity = new Activity();
  /** Of these VMs. */
  readonly snapshots: Snapshots;
  /** Ports and sockets of the host that lead into them, and their addresses. */
  readonly forwards: ForwardVerbs;
  readonly networks: NetworkVerbs;
  readonly secrets: SecretVerbs;
  readonly peers: PeerVerbs;

  constructor(options: VmsOptions) {
    const sessions = new Sessions(
      {
        onExit: (vmId, reason) => this.#ended(vmId, "stopped", reason),
        onBroken: (vmId, reason) => this.#ended(vmId, "broken", reason),
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

  async stop(reference: string, progress: Progress): Promise<VmRecord> {
    const row = this.#find(reference);
    using _lock = await this.#context.locks.acquire(row.id, progress.signal);
    await stopVm(this.#context, this.#byId(row), progress);
    return this.#current(row);
  }

  async restart(reference: string, options: StartOptions, progress: Progress): Promise<VmRecord> {
    const row = this.#find(reference);
    using _lock = await this.#context.locks.acquire(row.id, progress.signal);
    // What ends the VM meanwhile ends the whole verb: it must not come up again.
    const cut = new AbortController();
    this.#context.starting.set(row.id, cut);
    try {
      await stopVm(this.#context, this.#byId(row), progress);
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
    using _lock = await this.#takeOver(row, options.signal);
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
    using _lock = await this.#takeOver(row, progress.signal);
    await removeVm(this.#context, this.#byId(row));
  }

  /** The agent of a running VM. Throws `vm.wrong-state` (not running), `vm.broken`, or why the guest does not answer. */
  async agent(reference: string): Promise<{ record: VmRecord; agent: GuestAgent }> {
    const row = this.#find(reference);
    const session = this.#running(row);
    return { record: this.#record(row), agent: await session.agent };
  }

  async health(
    reference: string,
    options: { signal: AbortSignal },
  ): Promise<{ healthy: boolean; reason: string; uptimeMs: number }> {
    const { agent } = await this.agent(reference);
    return await agent.health(options);
  }

  /** Of running VMs; of all of them when none is named. One that ends meanwhile is left out, unless it was named. */
  async stats(references: readonly string[] | undefined, { signal }: { signal: AbortSignal }): Promise<VmStats[]> {
    const rows = references?.map((one) => this.#find(one)) ?? this.#context.state.vms.list().filter(isUp);
    const found = rows.map(async (row) => {
      const session = references === undefined ? this.#context.sessions.get(row.id) : this.#running(row);
      return session === undefined ? undefined : await statsOf(this.#record(row), session.agent, signal);
    });
    const all = await Promise.all(references === undefined ? found.map((one) => one.catch(() => undefined)) : found);
    signal.throwIfAborted();
    return all.filter((one) => one !== undefined);
  }

  /** What listens in a running VM. */
  async *ports(
    reference: string,
    options: { signal: AbortSignal; follow: boolean },
  ): AsyncGenerator<{ ports: GuestPort[] }> {
    const { agent, record } = await this.agent(reference);
    const list = new PortList(agent, options.signal);
    for await (const listeners of agent.listeners(options)) {
      const row = this.#context.state.vms.get(record.id);
      const forwards = row === undefined ? [] : this.#context.forwards.list(row);
      yield { ports: await list.describe(listeners, forwards) };
    }
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

  consoleLog(reference: string): string {
    return vmPaths(this.#context.paths, this.#find(reference).id).consoleLog;
  }

  /** What an SSH client needs to reach the VM with no trust on first use. */
  async ssh(reference: string, options: { signal: AbortSignal }) {
    const row = this.#find(reference);
    const key = await ensureClientKey(this.#context.paths.sshDir, options);
    return {
      vmId: row.id,
      name: row.name,
      identityFile: key.identityFile,
      knownHostsFile: join(vmPaths(this.#context.paths, row.id).dir, "known_hosts"),
      hostAlias: hostAlias(row.id),
    };
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

  /** The lock, without waiting for what the verb under way waits for. Verbs that come later wait behind this one. */
  async #takeOver(row: VmRow, signal: AbortSignal): Promise<Disposable> {
    const lock = this.#context.locks.acquire(row.id, signal);
    // It may be given up while nobody awaits it yet.
    lock.catch(() => {});
    try {
      await this.#cutShort(row);
    } catch (error) {
      lock.then(
        (held) => held[Symbol.dispose](),
        () => {},
      );
      throw error;
    }
    return await lock;
  }

  /** Ends what keeps a verb waiting: the start under way, or the VMM of the running machine. */
  async #cutShort(row: VmRow): Promise<void> {
    const reason = new BangerError("cancelled", `VM "${row.name}" was ended while it was starting`);
    this.#context.starting.get(row.id)?.abort(reason);
    const session = this.#context.sessions.get(row.id);
    if (session === undefined) return;
    session.ending = true;
    await session.machine.kill();
  }

  /** The session with a VM that runs. Throws `vm.wrong-state`, `vm.broken`. */
  #running(row: VmRow): Session {
    if (row.state === "broken") {
      throw new BangerError("vm.broken", `VM "${row.name}" is broken: ${row.reason}`, {
        hint: `banger vm restart ${row.name}`,
      });
    }
    if (row.state === "paused") throw pausedError(row);
    const session = this.#context.sessions.get(row.id);
    if (session === undefined || row.state !== "running") {
      throw new BangerError("vm.wrong-state", `VM "${row.name}" is not running (${row.state})`, {
        hint: `banger vm start ${row.name}`,
      });
    }
    return session;
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
    const files = vmPaths(this.#context.paths, row.id);
    return {
      id: row.id,
      name: row.name,
      state: row.state,
      reason: row.reason,
      image: { id: row.imageId, name: row.imageName },
      kernel: { id: row.kernelId, name: row.kernelName },
      spec: row.spec,
      autoRemove: row.autoRemove,
      workspace: row.workspace,
      pid: this.#context.sessions.get(row.id)?.machine.pid ?? null,
      bootId: row.bootId,
      diskUsedBytes:
        writableSerials
          .map((serial) => allocatedBytes(vmDisk(this.#context.paths, row, serial).path))
          .reduce((sum, bytes) => sum + bytes) +
        (row.state === "paused" ? pausedMemoryBytes(this.#context.paths, row.id) : 0),
      init: row.init,
      labels: row.labels,
      forwards: withOwnAddress(row.forwards, row.address),
      lifetime: row.lifetime,
      address: row.address,
      network: this.networks.stateOf(row),
      lastUsedAt: lastUsed(row, this.activity),
      baseSnapshot: row.baseSnapshotId,
      lastStart: row.lastStart,
      dir: files.dir,
      createdAt: row.createdAt,
      startedAt: row.startedAt,
    };
  }
}

const isUp = ({ state }: VmRow) => state === "running";

const idleStates: ReadonlySet<VmRow["state"]> = new Set(["created", "stopped", "broken"]);

function pausedError({ name }: VmRow): BangerError {
  return new BangerError("vm.wrong-state", `VM "${name}" is paused`, { hint: `banger vm resume ${name}` });
}

/** Bytes that a sparse file takes on the host; 0 when it does not exist yet. */
function allocatedBytes(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512;
}
