// What the verbs of this folder work with. The daemon builds it once; tests build it with their own parts.
import type { ImageRecord, KernelRecord, VmSpec } from "../api/records.ts";
import type { Paths } from "../config/paths.ts";
import type { ConnectGuest } from "../guest/agent.ts";
import type { Logger } from "../lib/log.ts";
import type { KeyedMutex } from "../lib/mutex.ts";
import type { Progress } from "../lib/progress.ts";
import type { Networks } from "../network/networks.ts";
import type { PolicySettings } from "../network/policy.ts";
import type { Secrets } from "../network/secrets/secrets.ts";
import type { State } from "../state/open.ts";
import type { Driver, MachineCapture } from "../vmm/driver.ts";
import type { AddressPool } from "./addresses.ts";
import type { WritableSerial } from "./disk-files.ts";
import type { Forwards } from "./forward/forwards.ts";
import type { HostFiles } from "./host-files/host-files.ts";
import type { Sessions } from "./sessions.ts";
import type { Pins } from "./snapshot/pins.ts";
import type { StartLog } from "./start-stats.ts";

/** The part of an image or kernel store that VMs need. */
export interface Store<R> {
  /** By name, id or unambiguous prefix. Throws not-found or ambiguous. */
  resolve(reference: string): R;
  /** True when the catalog can provide it. */
  inCatalog(name: string): boolean;
  pull(name: string, options: { force: boolean }, progress: Progress): Promise<R>;
}

export interface VmSettings {
  defaultImage: string;
  defaultKernel: string;
  /** How long a guest may take from power-on to its Hello. */
  bootTimeoutMs: number;
  /** How long a clean shutdown may take before the VMM is ended. */
  stopTimeoutMs: number;
  vmDefaults: VmSpec;
}

/**
 * Memory of a guest that has said Hello and knows of no VM yet. It fits every image and every VM of its shape; with `disks`, VMs of one
 * image that have never started.
 */
export interface TemplateUse extends Disposable {
  readonly id: string;
  readonly capture: MachineCapture;
  /** Recipes (src/disk/blank-recipe.ts) of the disks that its root was assembled of: a VM must have the same. */
  readonly disks?: Readonly<Record<WritableSerial, string>>;
}

/** What a start needs of the templates. Dispose of a use once its machine runs: until then the files stay. */
export interface Templates {
  /** Undefined: there is none, or templates are switched off. Marks it as used. */
  take(fingerprint: string): TemplateUse | undefined;
  /**
   * Has one made in the background, soon, unless it is there, under way, or switched off; that of an image when it is wanted for the
   * second time. Never throws.
   */
  want(shape: TemplateShape): void;
  /** For one that could not be restored: removes it, and has it made anew only after a while. Never throws. */
  discard(id: string, reason: unknown): Promise<void>;
  /** To be held while a machine is captured: meanwhile no spare copy of a template's memory is begun. */
  capturing(): CaptureTurn;
}

export interface CaptureTurn extends Disposable {
  /** What `Capture.spareBase` says: when it belongs to a template, that gets a new spare copy once no machine is captured. */
  based(memoryFile: string): void;
}

/** The root of a fresh VM: an image, and blank disks of these sizes above it. */
export interface FreshRoot {
  image: ImageRecord;
  overlayBytes: number;
  diskBytes: number;
}

/** What a template is made of; `fingerprint` (src/vm/fingerprint.ts) stands for all of it. */
export interface TemplateShape {
  fingerprint: string;
  /** Absent: it fits every image. `shape` is the fingerprint without the root. */
  root?: FreshRoot & { shape: string };
  kernel: KernelRecord;
  initrd: string;
  vcpus: number;
  memoryMib: number;
}

export interface VmContext {
  paths: Paths;
  state: State;
  driver: Driver;
  images: Store<ImageRecord>;
  kernels: Store<KernelRecord>;
  /** The initramfs for a kernel and the agent of this build; cached. */
  initramfs(kernel: KernelRecord, options: { signal: AbortSignal }): Promise<string>;
  connectGuest: ConnectGuest;
  templates: Templates;
  /** Where VMs get their addresses from; without it they have none. */
  addresses?: AddressPool;
  /** What listens for VMs on the host. */
  forwards: Forwards;
  /** What carries the frames of VMs that have a network. */
  networks: Networks;
  secrets: Secrets;
  /** Policies that can be asked for by name. */
  policies: PolicySettings;
  /** What comes along from the host into each guest that starts. Absent: nothing. */
  hostFiles?: HostFiles;
  /** Every start is told here, after it is over. */
  starts: StartLog;
  settings: VmSettings;
  log: Logger;
  sessions: Sessions;
  /** Starts that are under way, by VM: what ends the VM aborts them instead of waiting for the guest. */
  starting: Map<string, AbortController>;
  /** Snapshots that verbs under way rest on. */
  pins: Pins;
  /** One lock for each VM: a verb that changes its state holds it from start to end. */
  locks: KeyedMutex;
}
