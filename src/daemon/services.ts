// What the routes need from the rest of the daemon. The object graph satisfies these interfaces; tests give small ones.
import type { Check, ImageRecord, KernelRecord, Operation, VmRecord } from "../api/records.ts";
import type { ParamsOf, ResultOf } from "../api/methods.ts";
import type { GuestAgent } from "../guest/agent.ts";
import type { Progress } from "../lib/progress.ts";

export interface SignalOptions {
  signal: AbortSignal;
}

/** References are names, ids or unambiguous prefixes; every method that takes one throws `vm.not-found` and `vm.ambiguous`. */
export interface Vms {
  list(): VmRecord[];
  show(ref: string): VmRecord;
  create(params: ParamsOf<"vm.create">, progress: Progress): Promise<VmRecord>;
  start(ref: string, progress: Progress): Promise<VmRecord>;
  stop(ref: string, progress: Progress): Promise<VmRecord>;
  restart(ref: string, progress: Progress): Promise<VmRecord>;
  delete(ref: string, progress: Progress): Promise<void>;
  kill(ref: string, options: SignalOptions): Promise<VmRecord>;
  /** The session with a running VM's agent; the VMs own it. Throws `vm.wrong-state`. */
  agent(ref: string): Promise<{ record: VmRecord; agent: GuestAgent }>;
  /** Absolute path of the console log; the file may not exist yet. */
  consoleLog(ref: string): string;
  health(ref: string, options: SignalOptions): Promise<ResultOf<"vm.health">>;
  /** Names of the VMs that use it. */
  usersOfImage(id: string): string[];
  usersOfKernel(id: string): string[];
  ssh(ref: string, options: SignalOptions): Promise<ResultOf<"vm.ssh">>;
  /** Notes where a repository was put. */
  workspacePrepared(ref: string, workspace: NonNullable<VmRecord["workspace"]>): void;
  /** Brings records in line with what runs, at daemon start. Deletes autoRemove VMs that were left over. */
  recover(options: SignalOptions): Promise<void>;
  /** Lets go of the machines; they keep running. */
  close(): Promise<void>;
  runningCount(): number;
}

export interface Images {
  list(): ImageRecord[] | Promise<ImageRecord[]>;
  /** Throws `image.not-found`, `image.ambiguous`. */
  resolve(ref: string): ImageRecord | Promise<ImageRecord>;
  /** Throws `image.in-use` when `usedBy` names a VM. */
  delete(ref: string, options: { usedBy: (id: string) => string[] }): Promise<void>;
  import(params: ParamsOf<"image.import">, progress: Progress): Promise<ImageRecord>;
  pull(name: string, options: { force: boolean }, progress: Progress): Promise<ImageRecord>;
  catalog(): ResultOf<"image.catalog">["entries"] | Promise<ResultOf<"image.catalog">["entries"]>;
}

export interface Kernels {
  list(): KernelRecord[] | Promise<KernelRecord[]>;
  /** Throws `kernel.not-found`. */
  resolve(ref: string): KernelRecord | Promise<KernelRecord>;
  /** Throws `kernel.in-use` when `usedBy` names a VM. */
  delete(ref: string, options: { usedBy: (id: string) => string[] }): Promise<void>;
  import(params: ParamsOf<"kernel.import">, progress: Progress): Promise<KernelRecord>;
  pull(name: string, options: { force: boolean }, progress: Progress): Promise<KernelRecord>;
  catalog(): ResultOf<"kernel.catalog">["entries"] | Promise<ResultOf<"kernel.catalog">["entries"]>;
}

/** Where operations survive the daemon. Every method is synchronous and short. */
export interface OperationStore {
  save(operation: Operation): void;
  get(id: string): Operation | undefined;
  /** Newest first. */
  list(): Operation[];
  /** Ends what a daemon that is gone had under way, with the error `operation.interrupted`. Returns how many. */
  markInterrupted(nowMs: number): number;
  removeOlderThan(cutoffMs: number): void;
}

export interface Doctor {
  run(options: SignalOptions): Promise<Check[]>;
}

/** A workspace as the routes see it. */
export interface Workspaces {
  inspect(path: string, options: SignalOptions): Promise<ResultOf<"workspace.inspect">>;
  prepare(params: ParamsOf<"workspace.prepare">, progress: Progress): Promise<ResultOf<"workspace.prepare">>;
}

/** Everything that stands behind the routes. Disposing it lets go of machines and closes the database. */
export interface Services extends AsyncDisposable {
  vms: Vms;
  images: Images;
  kernels: Kernels;
  workspaces: Workspaces;
  operationStore: OperationStore;
  doctor: Doctor;
  /** Settings as they are now. */
  config: () => ResultOf<"config.show">;
}
