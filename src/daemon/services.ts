// What the routes need from the rest of the daemon. The object graph satisfies these interfaces; tests give small ones.
import type { Readable } from "node:stream";
import type {
  Check,
  ImageRecord,
  KernelRecord,
  Operation,
  SnapshotRecord,
  TemplateRecord,
  VmRecord,
} from "../api/records.ts";
import type { NetworkPolicy, NetworkRecord, NetworkState } from "../api/network-records.ts";
import type { ForwardState } from "../api/forward-methods.ts";
import type { ParamsOf, ResultOf } from "../api/methods.ts";
import type { PeerNetwork } from "../api/peer-methods.ts";
import type { SecretRecord } from "../api/secret-methods.ts";
import type { GuestAgent } from "../guest/agent.ts";
import type { Progress } from "../lib/progress.ts";
import type { NewSecret } from "../network/secrets/store.ts";
import type { Activity } from "../vm/activity.ts";

export interface SignalOptions {
  signal: AbortSignal;
}

/** References are names, ids or unambiguous prefixes; every method that takes one throws `vm.not-found` and `vm.ambiguous`. */
export interface Vms {
  list(): VmRecord[];
  show(ref: string): VmRecord;
  /** `onNamed` is called once the VM is listed under its name. */
  create(params: ParamsOf<"vm.create">, progress: Progress, onNamed?: (name: string) => void): Promise<VmRecord>;
  start(ref: string, options: StartOptions, progress: Progress): Promise<VmRecord>;
  /** `reason`: why, when nobody asked for it; the record says it. */
  stop(ref: string, progress: Progress, options?: { reason?: string | undefined }): Promise<VmRecord>;
  restart(ref: string, options: StartOptions, progress: Progress): Promise<VmRecord>;
  pause(ref: string, options: { keepRunning: boolean }, progress: Progress): Promise<VmRecord>;
  resume(ref: string, progress: Progress): Promise<VmRecord>;
  delete(ref: string, progress: Progress, options?: { onlyIdle?: boolean | undefined }): Promise<void>;
  kill(ref: string, options: SignalOptions): Promise<VmRecord>;
  /** The session with a running VM's agent; the VMs own it. `ended`: aborted when its machine ends or is to end. Throws `vm.wrong-state`. */
  agent(ref: string): Promise<{ record: VmRecord; agent: GuestAgent; ended: AbortSignal }>;
  /** What goes on in VMs; whoever begins something in one says so there. */
  readonly activity: Activity;
  health(ref: string, options: SignalOptions): Promise<ResultOf<"vm.health">>;
  set(ref: string, change: Omit<ParamsOf<"vm.set">, "vm">, progress: Progress): Promise<ResultOf<"vm.set">>;
  /** Counts as use; `ttlMs`: its time is over so many milliseconds from now. */
  touch(ref: string, options: { ttlMs?: number | undefined }): VmRecord;
  /** Calls back after every change of a record, until it is disposed of. */
  onChange(listener: (id: string) => void): Disposable;
  rename(ref: string, name: string): VmRecord;
  label(ref: string, change: Omit<ParamsOf<"vm.label">, "vm">): VmRecord;
  /** Undefined when the VM's end was waited for. */
  wait(
    ref: string,
    condition: ParamsOf<"vm.wait">["for"],
    options: SignalOptions & { timeoutMs?: number | undefined },
  ): Promise<VmRecord | undefined>;
  events(ref: string | undefined, signal: AbortSignal): AsyncIterable<ResultOf<"vm.events">>;
  /** Brings records in line with what runs, at daemon start. Deletes autoRemove VMs that were left over. */
  recover(options: SignalOptions): Promise<void>;
  /** Ends every machine at once: for a home that was deleted, with the machines' disks. */
  endAll(): Promise<void>;
  /** Lets go of the machines; they keep running. */
  close(): Promise<void>;
  runningCount(): number;
}

/** Looks at VMs from outside. References as for VMs. */
export interface Looks {
  /** Absolute path of the console log; the file may not exist yet. */
  consoleLog(ref: string): string;
  ssh(ref: string, options: SignalOptions): Promise<ResultOf<"vm.ssh">>;
  /** Of running VMs; of all of them when none is named. */
  stats(refs: readonly string[] | undefined, options: SignalOptions): Promise<ResultOf<"vm.stats">["vms"]>;
  ports(ref: string, options: SignalOptions & { follow: boolean }): AsyncIterable<ResultOf<"vm.ports">>;
}

export interface StartOptions {
  /** Boot, although memory could be restored. Default false. */
  cold?: boolean | undefined;
}

/** Snapshots of VMs, and VMs that go on from them. References as for VMs; `snapshot.not-found`, `snapshot.ambiguous`. */
export interface Snapshots {
  create(params: ParamsOf<"snapshot.create">, progress: Progress): Promise<SnapshotRecord>;
  list(vm?: string): SnapshotRecord[];
  show(ref: string): SnapshotRecord;
  delete(ref: string, options: SignalOptions): Promise<void>;
  /** Puts a VM back, in place. */
  restore(vm: string, snapshot: string, progress: Progress): Promise<VmRecord>;
  fork(params: ParamsOf<"vm.fork">, progress: Progress): Promise<ResultOf<"vm.fork">>;
  /** A snapshot of a fresh VM of an image, after a command ran in it. */
  warm(params: ParamsOf<"image.warm">, progress: Progress): Promise<SnapshotRecord>;
}

/** Ports and sockets of the host that lead into VMs. References as for VMs; `port.in-use`, `port.failed`. */
export interface Forwards {
  add(ref: string, wanted: ParamsOf<"vm.forward">["add"], options: SignalOptions): Promise<ForwardState[]>;
  remove(ref: string, texts: readonly string[], options: SignalOptions): Promise<ForwardState[]>;
  list(ref: string): ForwardState[];
  /** What `<name>.vm` means; undefined when there is no VM of exactly this name. */
  addressOf(name: string): string | undefined;
}

/** The networks of VMs. References as for VMs; `network.*`. */
export interface Networks {
  show(ref: string): NetworkState;
  change(ref: string, change: ParamsOf<"net.set">["change"], options: SignalOptions): Promise<ResultOf<"net.set">>;
  check(
    ref: string,
    question: Omit<ParamsOf<"net.check">, "vm">,
    options: SignalOptions,
  ): Promise<ResultOf<"net.check">>;
  log(ref: string, options: SignalOptions & { after: number; follow: boolean }): AsyncIterable<NetworkRecord>;
  restart(ref: string, options: SignalOptions): Promise<NetworkState>;
}

/** Secrets, by name. No record has a value in it. */
export interface Secrets {
  list(): SecretRecord[];
  set(secret: NewSecret, options: SignalOptions): Promise<SecretRecord>;
  remove(name: string, options: SignalOptions): Promise<void>;
}

/** Networks that VMs are in together. */
export interface Peers {
  list(): PeerNetwork[];
  create(name: string): PeerNetwork;
  remove(name: string): void;
}

/** Memory templates, by id or unambiguous prefix. */
export interface Templates {
  list(): TemplateRecord[];
  show(ref: string): TemplateRecord;
  prune(options: { all: boolean; dryRun: boolean }): Promise<ResultOf<"template.prune">>;
  warm(params: ParamsOf<"template.warm">, progress: Progress): Promise<TemplateRecord>;
}

/** What both stores of downloadable things offer. References are names, ids or unambiguous prefixes. */
interface Store<R> {
  list(): R[];
  /** Throws `image.not-found` / `kernel.not-found` and their `ambiguous` companions. */
  resolve(ref: string): R;
  /** Throws `image.in-use` / `kernel.in-use` when a VM uses it. */
  delete(ref: string): Promise<void>;
  pull(name: string, options: { force?: boolean }, progress: Progress): Promise<R>;
  catalog(): CatalogEntry[];
}

type CatalogEntry = ResultOf<"kernel.catalog">["entries"][number];

export interface ImportRequest {
  /** Absolute host path. */
  path: string;
  name: string;
  /** Takes the name over from an older one. */
  force?: boolean;
}

export interface Images extends Omit<Store<ImageRecord>, "pull" | "catalog"> {
  catalog(): ResultOf<"image.catalog">["entries"];
  importFrom(request: ParamsOf<"image.import">, progress: Progress): Promise<ImageRecord>;
  pull(name: string, options: Omit<ParamsOf<"image.pull">, "name">, progress: Progress): Promise<ImageRecord>;
  export(params: ParamsOf<"image.export">, progress: Progress): Promise<ResultOf<"image.export">>;
  tag(ref: string, name: string, options: { force?: boolean | undefined }): Promise<ImageRecord>;
  untag(name: string): Promise<ImageRecord>;
  inspect(ref: string): Promise<ResultOf<"image.inspect">>;
  history(ref: string): Promise<ResultOf<"image.history">["history"]>;
  register(request: ImportRequest, progress: Progress): Promise<ImageRecord>;
  promote(ref: string, progress: Progress): Promise<ImageRecord>;
  readonly cache: {
    readonly directory: string;
    list(): Promise<ResultOf<"image.cache.list">["blobs"]>;
    verify(
      options: SignalOptions & { onBytes?: (done: number, total: number) => void },
    ): Promise<ResultOf<"image.cache.verify">>;
    prune(options: { dryRun: boolean }): Promise<{ blobs: number; bytes: number }>;
  };
}

/** Logins to registries. */
export interface Logins {
  login(params: ParamsOf<"registry.login">, options: SignalOptions): Promise<ResultOf<"registry.login">>;
  logout(params: ParamsOf<"registry.logout">, options: SignalOptions): Promise<ResultOf<"registry.logout">>;
}

export interface Kernels extends Store<KernelRecord> {
  importFrom(request: ImportRequest, progress: Progress): Promise<KernelRecord>;
}

/** Where operations survive the daemon. Every method is synchronous and short. */
export interface OperationStore {
  save(operation: Operation): void;
  get(id: string): Operation | undefined;
  /** Newest first. */
  list(): Operation[];
  /** Ends what a daemon that is gone had under way, with the error `operation.interrupted`; returns them. */
  markInterrupted(nowMs: number): Operation[];
  /** Returns how many it forgot. */
  removeOlderThan(cutoffMs: number): number;
}

export interface Doctor {
  /** `client`: the build of who asks. `names`: how the names of VMs are. */
  run(options: SignalOptions & DoctorFacts): Promise<Check[]>;
}

export interface DoctorFacts {
  client: { version: string; builtAt: number };
  names: () => Promise<ResultOf<"dns.status">>;
}

/** A workspace as the routes see it. */
export interface Workspaces {
  /** What the banger.toml in a directory says of the network; null: nothing. Throws `config.invalid`, `network.policy-invalid`. */
  policy(root: string): Promise<NetworkPolicy | null>;
  inspect(params: ParamsOf<"workspace.inspect">, options: SignalOptions): Promise<ResultOf<"workspace.inspect">>;
  plan(params: ParamsOf<"workspace.plan">, options: SignalOptions): Promise<ResultOf<"workspace.plan">>;
  prepare(params: ParamsOf<"workspace.prepare">, progress: Progress): Promise<ResultOf<"workspace.prepare">>;
  status(vm: string, options: SignalOptions): Promise<ResultOf<"workspace.status">>;
  refresh(vm: string, progress: Progress): Promise<void>;
  hostMoved(vm: string, options: SignalOptions): Promise<{ moved: boolean; headCommit: string | null }>;
  sync(vm: string, options: SignalOptions & { force: boolean }): Promise<ResultOf<"workspace.sync">>;
  watch(vm: string, options: SignalOptions & { force: boolean }): AsyncIterable<ResultOf<"workspace.watch">>;
}

/** What guests changed in their workspaces, as the routes see it. */
export interface WorkspaceExports {
  export(params: ParamsOf<"workspace.export">, progress: Progress): Promise<ResultOf<"workspace.export">>;
  read(params: ParamsOf<"workspace.read">, signal: AbortSignal): Promise<Readable>;
  apply(params: ParamsOf<"workspace.apply">, progress: Progress): Promise<ResultOf<"workspace.apply">>;
  forget(id: string): Promise<void>;
}

/** Tools that repositories pin, as the routes see them. */
export interface WorkspaceTools {
  inspect(path: string, signal: AbortSignal): Promise<ResultOf<"workspace.toolchain.inspect">>;
  install(
    params: ParamsOf<"workspace.toolchain.install">,
    progress: Progress,
  ): Promise<ResultOf<"workspace.toolchain.install">>;
}

/** Everything that stands behind the routes. Disposing it lets go of machines and closes the database. */
export interface Services extends AsyncDisposable {
  vms: Vms;
  looks: Looks;
  images: Images;
  kernels: Kernels;
  logins: Logins;
  workspaces: Workspaces;
  workspaceExports: WorkspaceExports;
  workspaceTools: WorkspaceTools;
  snapshots: Snapshots;
  forwards: Forwards;
  networks: Networks;
  secrets: Secrets;
  peers: Peers;
  templates: Templates;
  /** Summed up from the last starts. */
  startStats(): ResultOf<"stats.starts">;
  operationStore: OperationStore;
  doctor: Doctor;
  /** Settings as they are now. */
  config: () => ResultOf<"config.show">;
}
