// What every virtual machine monitor must offer. Callers know this interface and the features that a driver declares,
// never a driver's name. Facts about processes are observed here, never believed from a record.
import type { Duplex } from "node:stream";

export interface DiskSpec {
  /** Virtio serial, by which the guest finds the disk: "base", "overlay" or "work". */
  serial: string;
  path: string;
  readOnly: boolean;
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
  /** Stops and continues the virtual CPUs. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  stats(): Promise<MachineStats>;
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
   * Throws `vmm.missing`, `vmm.failed` (with the VMM's own words); then nothing is left running.
   */
  launch(spec: MachineSpec, options: { signal: AbortSignal }): Promise<Machine>;
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
