// What every virtual machine monitor must offer. Callers know this interface and the features that a driver declares,
// never a driver's name. Facts about processes are observed here, never believed from a record.
import type { Duplex } from "node:stream";

export interface DiskSpec {
  /** Virtio serial, by which the guest finds the disk: "base", "overlay" or "work". */
  serial: string;
  path: string;
  readOnly: boolean;
  /** Never guessed from the content: that belongs to the guest. A qcow2 file names its backing file and that one's format. */
  format: "raw" | "qcow2";
}

/** Memory and device state of a machine at one instant, as `Capture.finish` writes them. */
export interface MachineCapture {
  /** Guest memory, byte for byte, sparse. Restored machines map it copy on write: it must not be changed, and may be unlinked. */
  memoryFile: string;
  /** State of the devices, in the VMM's own form. */
  stateFile: string;
}

/** Everything a VMM needs to start one machine. All paths are absolute. */
export interface MachineSpec {
  vmId: string;
  /** Told apart by this in process lists: homes do not touch each other's VMMs. */
  homeId: string;
  /** Directory of the VM: working directory of the VMM, sockets, logs, identity file. Exists, 0700. */
  dir: string;
  kernel: string;
  initrd: string;
  /** Added to the driver's own kernel command line. */
  kernelArguments: readonly string[];
  vcpus: number;
  memoryMib: number;
  disks: readonly DiskSpec[];
}

export interface MachineStats {
  /** Resident memory of the VMM process on the host. */
  residentBytes: number;
  /** CPU time used on the host since the start. */
  cpuMs: number;
}

/** Why a machine is not running any more. */
export interface MachineExit {
  /** One sentence: "the guest powered off", "the VMM was killed by SIGKILL", ... */
  reason: string;
  /** True when the guest or the daemon asked for it. */
  expected: boolean;
}

/**
 * Name, in the machine's directory, of the unix socket behind its network device: one process at a time may connect and carry the guest's
 * frames, with 4 bytes of length (big-endian) before each. While there is none, frames are dropped.
 */
export const networkSocketName = "net.sock";

/** A running machine. Dropping the handle (dispose) lets go of sockets and leaves the machine running. */
export interface Machine extends AsyncDisposable {
  readonly vmId: string;
  readonly pid: number;
  /** Resolves once, when the VMM process is gone. Never rejects. */
  readonly exited: Promise<MachineExit>;
  /**
   * Connects the byte stream to the agent. One at a time: the former one must be destroyed first.
   * Throws `guest.unreachable` when the VMM does not take the connection.
   */
  controlChannel(options: { signal: AbortSignal }): Promise<Duplex>;
  /** Ends the VMM process now (KILL) and resolves when it is gone and its sockets and identity file are removed. Idempotent. */
  kill(): Promise<void>;
  /** Stops and continues the virtual CPUs. Idempotent. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Whether the virtual CPUs stand still because somebody paused them, as the VMM says now. */
  isPaused(): Promise<boolean>;
  /**
   * Begins to capture memory and devices into two new files while the machine runs on: copies what is not going to change.
   * The caller owns the files, also after a failure. Throws `snapshot.failed` (with a hint when the host forbids to read the
   * memory of the VMM), `disk.full`, or the signal's reason. Takes the spare copy of the memory file that the machine was restored
   * from (src/vmm/spare-memory.ts) when there is one. `onLaidOut` is called when both files are there and the memory's has its size, before
   * anything is copied: see `Driver.standBy`.
   */
  beginCapture(
    target: MachineCapture,
    options: { signal: AbortSignal; onLaidOut?: (() => void) | undefined },
  ): Promise<Capture>;
  /**
   * As `beginCapture`, for one machine that goes on at once: its memory goes straight to the VMM, and there is no file of it. Undefined
   * for a machine that came from no capture, or has changed so much of its memory that it is better shared by way of a file. The caller
   * owns the file of the state, also after a failure.
   */
  beginHandOver(stateFile: string, options: { signal: AbortSignal }): Promise<HandOver | undefined>;
  /**
   * Gives the writable disks of a paused machine new top layers, all at one instant: from now on writes go to `path`, an empty
   * qcow2 file of the disk's size, and the file that was written to is only read any more. To `rebaseDisks`, what was written until now is
   * called `base`: up to 12 letters and digits, others each time. Throws `snapshot.failed`; then every disk is as before.
   */
  switchDisks(base: string, tops: readonly { serial: string; path: string }[]): Promise<void>;
  /**
   * Puts whole raw files in place of the chains of layers that disks have below what `switchDisks` gave them above `base`: the same content,
   * which nobody writes to. The machine may run; the files of the chains are closed. Does nothing for a disk that has no such layer.
   * Throws `vmm.failed`; then a disk is as before.
   */
  rebaseDisks(base: string, wholes: readonly { serial: string; path: string }[]): Promise<void>;
  /** The files that the disks are written to now, by serial: what `switchDisks` gave last, also after a daemon restart. */
  activeDisks(): Promise<ReadonlyMap<string, string>>;
  /**
   * Makes a writable disk at least `sizeBytes` large, a multiple of 512, while the machine runs or stands still; its guest hears of it
   * at once. Resolves with the size that it then has; it never gets smaller. Throws `vmm.failed` with the VMM's own words.
   */
  growDisk(serial: string, sizeBytes: number): Promise<number>;
  /**
   * Makes the guest of a paused machine ask for the sizes of all its disks as soon as it runs on: for a capture that is restored with
   * other disks. Changes the sizes of the files, also of those that are only read. Throws `vmm.failed`.
   */
  announceDisks(): Promise<void>;
  stats(): Promise<MachineStats>;
}

/** A capture under way; dispose lets go of what it holds open. */
export interface Capture extends AsyncDisposable {
  /** The memory file that the machine was restored from, when the next capture could use a spare copy of it. */
  readonly spareBase?: string | undefined;
  /**
   * The rest, while the machine is paused: when it resolves, both files are complete, but not flushed to the disk. Says how much was
   * copied.
   */
  finish(options: { signal: AbortSignal }): Promise<{ copiedBytes: number }>;
}

/** A VMM that is there and waits for its capture to be complete. Dispose ends it, unless `restore` has given it away. */
export interface Standby extends AsyncDisposable {
  readonly pid: number;
  /**
   * Call once, when both files of the capture are complete. Resolves, and throws, as `Driver.restore` does, with timings since this call.
   */
  restore(options: { signal: AbortSignal }): Promise<{ machine: Machine; timings: RestoreTimings }>;
}

/** Memory and devices on their way from a machine that runs to a VMM that stands by, of which both map the same memory file. */
export interface HandOver {
  /** What the VMM is to stand by for (`Driver.standBy`): that memory file, and a new file for the state of the devices. */
  readonly capture: MachineCapture;
  /** Begins to give it what the machine has changed of the memory; to be finished as any capture. Throws as `beginCapture` does. */
  to(standby: Standby, options: { signal: AbortSignal }): Promise<Capture>;
}

/** When each part of a start was over, in milliseconds since the start. */
export interface RestoreTimings {
  /** The VMM answers. */
  spawnMs: number;
  /** Device state is in place. */
  loadMs: number;
}

export interface DriverFeatures {
  /** The accelerator that `launch` will use: hardware ("kvm") or software ("tcg"). */
  accelerator: "kvm" | "tcg";
  snapshots: boolean;
}

export interface Driver {
  readonly name: string;
  features(options: { signal: AbortSignal }): Promise<DriverFeatures>;
  /**
   * Starts a machine in its own session. It outlives the daemon. Resolves when the VMM runs (the guest may not be up yet).
   * Throws `vmm.missing`, `vmm.failed` (with the VMM's own words); then nothing is left running. `background`: others that want
   * the host's processors go first.
   */
  launch(spec: MachineSpec, options: { signal: AbortSignal; background?: boolean }): Promise<Machine>;
  /**
   * Starts a machine from a capture instead of a boot; its CPUs stand still until `resume`. Memory is shared with all machines of
   * the capture until it is written to. `spec` must have the shape that the captured one had (`shape`), but may name
   * other disks. `background` as in `launch`. Throws as `launch` does, or `snapshot.incompatible` when the VMM refuses the state; then nothing is left running.
   */
  restore(
    spec: MachineSpec,
    capture: MachineCapture,
    options: { signal: AbortSignal; background?: boolean },
  ): Promise<{ machine: Machine; timings: RestoreTimings }>;
  /**
   * The first half of `restore`, which can be done while the machine of the capture still runs: of the state only its place is to be right
   * yet. The same for the disks, which may be written to until `Standby.restore` is called, and with `memoryChanges` for the memory, whose
   * file then only has its size. Throws as `restore` does.
   */
  standBy(
    spec: MachineSpec,
    capture: MachineCapture,
    options: { signal: AbortSignal; memoryChanges: boolean },
  ): Promise<Standby>;
  /**
   * Text that is equal for two machines exactly when a capture of one can be restored as the other: VMM and its version,
   * accelerator and processor, machine options, CPUs, memory, number and kind of devices, and on what the guest's clock rests.
   * Not in it: kernel and initrd, which a restored machine does not look at.
   */
  shape(spec: Pick<MachineSpec, "vcpus" | "memoryMib" | "disks">, options: { signal: AbortSignal }): Promise<string>;
  /**
   * The running machine of this VM after a daemon restart, or undefined when there is none. Believes an identity file only when host boot,
   * pid, process start time and command line agree; removes stale files.
   */
  find(vmId: string, dir: string, options: { signal: AbortSignal }): Promise<Machine | undefined>;
  /** Pids of all machines of this home that run now, by VM id, seen in the process table: also those whose files are gone. */
  list(homeId: string): Promise<Map<string, number>>;
  /** Ends a machine by the pid that `list` gave, after checking again that it is that machine. Resolves when it is gone. */
  killOrphan(vmId: string, homeId: string, pid: number): Promise<void>;
}
