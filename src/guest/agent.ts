// The guest's agent as the rest of the daemon sees it: no generated types, every call bounded and cancellable.
import type { Readable, Writable, Duplex } from "node:stream";
import type { BangerError } from "../lib/errors.ts";

export type GuestPhase = "waiting" | "configuring" | "running" | "failed" | "stopping" | "frozen";

export interface GuestHello {
  agentVersion: string;
  phase: GuestPhase;
  bootId: string;
  kernelRelease: string;
  architecture: string;
  /** Why the guest is in phase "failed"; else empty. */
  failure: string;
  /** Identity given at configure; empty before. */
  vmId: string;
  readyUptimeMs: number;
}

export interface GuestConfig {
  vmId: string;
  hostname: string;
  disks: { base: string; overlay: string; work: string };
  ssh: { hostKeyPem: string; authorizedKeys: readonly string[] };
  environment: readonly string[];
  defaultUser: string;
  defaultWorkdir: string;
  /** UUID that the guest shows as its boot id. */
  bootId: string;
  /** Path of the image's own init. Absent: none. */
  init?: string;
  /** Run a first process beside the other work, so that the user's first is quicker. Default false. */
  warmUp?: boolean;
  /** Who commits are by, for a guest that does not say it itself. */
  git?: GitIdentity;
  /** Absolute directories that are made where nothing has their names. */
  directories?: readonly string[];
  /** Absent: only loopback is up. */
  network?: GuestNetwork;
}

/** The guest's one interface. */
export interface GuestNetwork {
  /** Name that it gets. */
  interface: string;
  /** Each with its gateway; addresses in CIDR form. */
  ipv4: { address: string; gateway: string };
  ipv6?: { address: string; gateway: string };
  nameServers: readonly string[];
  /** Bytes; 0: the driver's default. */
  mtu: number;
}

/** Either may be empty. */
export interface GitIdentity {
  name: string;
  email: string;
}

/** What makes a restored guest another machine than the one that was captured. */
export interface GuestIdentity {
  vmId: string;
  hostname: string;
  ssh: { hostKeyPem: string; authorizedKeys: readonly string[] };
  bootId: string;
  /** Absent: the network stays as it is. */
  network?: GuestNetwork;
}

/** How long each step of a call took inside the guest. */
export type GuestSteps = { name: string; durationMs: number }[];

export interface TerminalSize {
  columns: number;
  rows: number;
}

export interface ExecSpec {
  /** Empty: the user's login shell. */
  argv: readonly string[];
  environment?: readonly string[];
  cwd?: string;
  user?: string;
  terminal?: TerminalSize;
  /** Number of the signal that `shutdown` sends it before anything else is asked to end. Absent: it is asked with all others. */
  stopSignal?: number;
  /** Absent: /dev/null. Its end closes the process's stdin. */
  stdin?: Readable;
  stdout: Writable;
  stderr: Writable;
}

export interface ExecHandle {
  /** Resolves with the exact exit status (128+n for signals) after all output was written; rejects when the session broke or was cancelled. */
  readonly exited: Promise<{ code: number; signal: number }>;
  resize(size: TerminalSize): void;
  signal(number: number): void;
}

export interface GuestFileInfo {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  modifiedMs: number;
  linkTarget: string;
}

export interface GuestStats {
  uptimeMs: number;
  memoryTotalBytes: number;
  memoryAvailableBytes: number;
  load1: number;
  processes: number;
  disks: { mountPoint: string; totalBytes: number; usedBytes: number }[];
}

export interface GuestProcess {
  pid: number;
  parentPid: number;
  uid: number;
  /** One letter, as ps has it. */
  state: string;
  /** Of one processor: 200 is two of them. */
  cpuPercent: number;
  cpuMs: number;
  residentBytes: number;
  command: string;
  ageMs: number;
}

export interface GuestListener {
  protocol: "tcp" | "udp";
  address: string;
  port: number;
  /** 0: not known. */
  pid: number;
  process: string;
  command: string;
}

/** What of the guest's work stands in the way of files of the host; paths are bytes, at most some hundred of `count`. */
export interface GuestWork {
  count: number;
  paths: Buffer[];
  /** Branches, tags and the stash that were made, moved or removed. */
  refs: string[];
}

/** Modes are git's, 0 for no such file; ids are hex. */
export interface FileChange {
  path: Buffer;
  oldMode: number;
  oldId: string;
  newMode: number;
  newId: string;
}

/** Errors: `file.failed`. A `metaPath` of "" means that nothing is recorded of what was shipped. */
export interface WorkspaceCalls {
  lookAtWorkspace(
    where: { path: string; metaPath: string },
    options: CallOptions,
  ): Promise<{ exists: boolean; known: boolean; work: GuestWork; head: string; headCommit: string }>;
  /**
   * Unpacks the tar beside the directory and puts it in its place in one step. Not placed: work of the guest would be lost, and
   * nothing was changed. The directory ".banger-meta" of the tar goes to `newMetaPath`, unless that is empty.
   */
  placeWorkspace(
    where: { path: string; metaPath: string; newMetaPath: string; force: boolean },
    tar: Readable,
    options: CallOptions,
  ): Promise<{ placed: boolean; work: GuestWork }>;
  /** Replaces and removes single files. Not applied: those at `conflicts` are not as the host thinks, and nothing was changed. */
  updateWorkspace(
    what: { path: string; metaPath: string; force: boolean; changes: readonly FileChange[] },
    tar: Readable,
    options: CallOptions,
  ): Promise<{ applied: boolean; conflicts: number[] }>;
}

export interface CallOptions {
  signal: AbortSignal;
}

export type DialTarget = { tcp: string } | { unix: string } | { service: "ssh" };

/**
 * One session with one agent. Errors: `guest.unreachable` (session gone), `guest.protocol` (garbage or too much: the session is
 * destroyed), `guest.failed` (the agent's own words), `exec.not-found`, `exec.failed`, `file.not-found`, `file.failed`.
 */
export interface GuestAgent extends AsyncDisposable, WorkspaceCalls {
  /** Resolves when the session is over, with the reason. Never rejects. `protocol` says that the guest broke the rules. */
  readonly closed: Promise<{ reason: string; protocol: boolean }>;
  /** Ends the session: calls under way fail with this error. */
  end(why: BangerError): void;
  /** Asked when the channel broke: calls that were under way fail with the answer, or, when it is undefined, with what is seen of the channel. */
  whenLost(why: () => Promise<BangerError | undefined>): void;
  hello(options: CallOptions): Promise<GuestHello>;
  /**
   * Has the root of a waiting guest put together of its disks, and entered; it goes on waiting. Once, before `configure`. Throws
   * `guest.failed`; then the guest is of no use.
   */
  assemble(root: Pick<GuestConfig, "disks" | "directories">, options: CallOptions): Promise<GuestSteps>;
  /** Sends identity, disks, keys, clock and entropy (the last two are taken inside). Returns each step's duration. */
  configure(config: GuestConfig, options: CallOptions): Promise<GuestSteps>;
  /**
   * Stops all processes of the guest but the agent, until `thaw`. `sync`: write caches to the disks first, while they still run.
   * Throws `guest.failed` when they could not be stopped; then they run.
   */
  freeze(options: CallOptions & { sync: boolean }): Promise<void>;
  /**
   * Lets the processes run again, with the clock set and fresh entropy (both are taken inside); with an identity, after the guest
   * has become that machine. Throws `guest.failed` when any of it could not be done; then the guest stays frozen.
   */
  thaw(options: CallOptions & { identity?: GuestIdentity }): Promise<GuestSteps>;
  health(options: CallOptions): Promise<{ healthy: boolean; reason: string; uptimeMs: number }>;
  stats(options: CallOptions): Promise<GuestStats>;
  /** Those that took most processor time in `intervalMs` first; `truncated`: there are more than the agent tells. */
  processes(options: CallOptions & { intervalMs: number }): Promise<{ processes: GuestProcess[]; truncated: boolean }>;
  /** What listens now, and with `follow` again whenever it has changed, until the signal aborts. */
  listeners(options: CallOptions & { follow: boolean }): AsyncGenerator<GuestListener[]>;
  /**
   * Makes the file systems as large as their disks, once the guest sees those with at least these sizes; absent: as they are. Throws
   * `guest.failed` with the kernel's words; then they are as they were.
   */
  growDisks(options: CallOptions & { overlayBytes?: number; workBytes?: number }): Promise<void>;
  /** Gives the running guest a network, or takes it down (undefined): then connects fail at once. Throws `guest.failed`. */
  setNetwork(network: GuestNetwork | undefined, options: CallOptions): Promise<void>;
  /**
   * Asks for a clean power-off; resolves when the agent has accepted. `mainGraceMs` is for processes with a stop signal, and comes
   * first (0: they are asked with all others), `graceMs` for all.
   */
  shutdown(options: CallOptions & { graceMs?: number; mainGraceMs?: number }): Promise<void>;
  /** Resolves when the process runs. Throws `exec.not-found` / `exec.failed` when it cannot be started. */
  exec(spec: ExecSpec, options: CallOptions): Promise<ExecHandle>;
  stat(path: string, options: CallOptions & { follow?: boolean }): Promise<GuestFileInfo>;
  list(path: string, options: CallOptions): Promise<{ entries: GuestFileInfo[]; truncated: boolean }>;
  readFile(path: string, options: CallOptions): Promise<Readable>;
  writeFile(path: string, content: Readable, options: CallOptions & { mode?: number }): Promise<void>;
  /** A tar of a file or directory; the stream fails with a BangerError. */
  readTar(path: string, options: CallOptions): Promise<Readable>;
  writeTar(
    directory: string,
    tar: Readable,
    options: CallOptions & { keepOwners?: boolean },
  ): Promise<{ entries: number }>;
  /** Connects inside the guest; resolves when connected. Half-close works both ways. */
  dial(target: DialTarget, options: CallOptions): Promise<Duplex>;
}

/**
 * Opens a session: handshake (docs/agent-wire.md), then HTTP/2. Waits until the guest answers or the signal aborts.
 * Owns `channel`: it is destroyed with the session, and on failure. Implemented in guest/connect.ts.
 */
export type ConnectGuest = (channel: Duplex, options: CallOptions) => Promise<GuestAgent>;
