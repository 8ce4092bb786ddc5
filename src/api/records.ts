// The things that methods speak of: VMs, images, kernels, operations.
import * as v from "valibot";
import { networkState } from "./network-records.ts";
import { workspaceRecord } from "./workspace-record.ts";

const timestamp = v.pipe(v.number(), v.description("milliseconds since 1970"));
const bytes = v.pipe(v.number(), v.integer(), v.minValue(0), v.description("bytes"));

/** 1 to 63 of a-z 0-9 and "-", no "-" at either end. Nothing is normalised. */
export const namePattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export const vmState = v.picklist(["created", "starting", "running", "stopping", "stopped", "paused", "broken"]);
export type VmState = v.InferOutput<typeof vmState>;

export const vmSpec = v.object({
  vcpus: v.pipe(v.number(), v.integer()),
  memoryMib: v.pipe(v.number(), v.integer()),
  diskBytes: v.pipe(bytes, v.description("size of the work disk on /root")),
  overlayBytes: v.pipe(bytes, v.description("size of the disk that holds changes to the root")),
});
export type VmSpec = v.InferOutput<typeof vmSpec>;

export const startKind = v.pipe(
  v.picklist(["cold", "template", "image", "snapshot", "pause"]),
  v.description(
    "cold: a boot; the others: memory restored from a template, from a template of the image, from a snapshot, or from a paused VM",
  ),
);
export type StartKind = v.InferOutput<typeof startKind>;

/** How a VM came to run the last time. */
export const startRecord = v.object({
  kind: startKind,
  /** Why it was a boot although memory could have been restored; empty otherwise. */
  reason: v.string(),
  /**
   * In order; a phase begins when the one before has ended. Cold: prepare, spawn, boot, configure; else: prepare, spawn, load, resume,
   * hello, configure, with queue before spawn when too many others came up from templates, and capture behind it in a fork of a VM that
   * runs. docs/instant-vms.md says what each is.
   */
  phases: v.array(v.object({ name: v.string(), ms: v.number() })),
  /** From the request until the guest could run a command. */
  totalMs: v.number(),
  at: timestamp,
  /** What the machine got: `vm set` changes what the next one gets. */
  machine: v.optional(v.object({ vcpus: v.number(), memoryMib: v.number() })),
});
export type StartRecord = v.InferOutput<typeof startRecord>;

/** Something that listens, as people write it: "127.0.0.1:8080", "[::1]:8080", or the absolute path of a unix socket. */
const endpoint = v.pipe(v.string(), v.minLength(1), v.maxLength(256));

/** A way from the host to a listener in the guest, through the daemon and the agent: no guest network is needed. */
export const forward = v.object({
  listen: v.pipe(endpoint, v.description("where the host listens, with the port that it got")),
  target: v.pipe(endpoint, v.description("what is reached, as the guest sees it")),
  published: v.pipe(
    v.boolean(),
    v.description("made with the VM: it comes back at each start; else it goes when the VM stops"),
  ),
});
export type Forward = v.InferOutput<typeof forward>;

export const lifetime = v.object({
  ttlMs: v.pipe(v.nullable(v.number()), v.description("milliseconds after its creation")),
  idleTimeoutMs: v.pipe(
    v.nullable(v.number()),
    v.description("milliseconds without exec, SSH and forwarded connections"),
  ),
  action: v.pipe(v.picklist(["stop", "pause", "delete"]), v.description("what is done with the VM then")),
});
export type Lifetime = v.InferOutput<typeof lifetime>;

export const labels = v.record(v.string(), v.string());

export const vmRecord = v.object({
  id: v.string(),
  name: v.string(),
  state: vmState,
  /** Why the VM is in this state when nobody asked for it: "the VMM was killed by SIGKILL". Empty otherwise. */
  reason: v.string(),
  image: v.object({ id: v.string(), name: v.string() }),
  kernel: v.object({ id: v.string(), name: v.string() }),
  spec: vmSpec,
  /** Removed when the client that holds it goes away (`vm run --rm`). */
  autoRemove: v.boolean(),
  /** Where a repository was put, when one was. */
  workspace: v.nullable(workspaceRecord),
  /** The VMM process, while it runs. */
  pid: v.nullable(v.number()),
  bootId: v.nullable(v.string()),
  /** Bytes that the VM's own disks and, while it is paused, its memory take on the host; not those of snapshots below them. */
  diskUsedBytes: bytes,
  /** The image's own init, when the VM runs it. */
  init: v.nullable(v.string()),
  /** Snapshot that the VM's disks rest on; null when they are all its own. */
  baseSnapshot: v.nullable(v.string()),
  labels,
  /** Kept while the VM runs, also by the next daemon. */
  forwards: v.array(forward),
  lifetime: v.nullable(lifetime),
  /** Loopback address of the host that belongs to this VM: where its forwards listen and what `<name>.vm` means. */
  address: v.nullable(v.string()),
  network: networkState,
  /** When a command, an SSH session or a forwarded connection last went on in it; null when none did. */
  lastUsedAt: v.nullable(timestamp),
  lastStart: v.nullable(startRecord),
  dir: v.string(),
  createdAt: timestamp,
  startedAt: v.nullable(timestamp),
});
export type VmRecord = v.InferOutput<typeof vmRecord>;

export const snapshotRecord = v.object({
  id: v.string(),
  name: v.string(),
  /** The VM that it was taken of, which may be gone. */
  vm: v.object({ id: v.string(), name: v.string() }),
  image: v.object({ id: v.string(), name: v.string() }),
  kernel: v.object({ id: v.string(), name: v.string() }),
  spec: vmSpec,
  memory: v.pipe(v.boolean(), v.description("false: taken of a stopped VM, so it holds disks only")),
  warm: v.pipe(v.boolean(), v.description("made by image.warm")),
  /** The snapshot that its disks rest on. */
  parent: v.nullable(v.string()),
  usedBytes: v.pipe(bytes, v.description("bytes that its own files take on the host")),
  /** Names of the VMs whose disks rest on it. */
  usedBy: v.array(v.string()),
  /** How long the VM stood still for it, in milliseconds; 0 when it did not run. */
  pausedMs: v.number(),
  createdAt: timestamp,
});
export type SnapshotRecord = v.InferOutput<typeof snapshotRecord>;

export const templateRecord = v.object({
  id: v.pipe(v.string(), v.description("digest of all that a restored machine must have in common with it")),
  kernel: v.object({ id: v.string(), name: v.string() }),
  vcpus: v.number(),
  memoryMib: v.number(),
  root: v.nullable(
    v.pipe(
      v.object({ image: v.object({ id: v.string(), name: v.string() }), overlayBytes: bytes, diskBytes: bytes }),
      v.description(
        "of an image, for VMs that have never started: their root is assembled already; null: for all images",
      ),
    ),
  ),
  vmm: v.pipe(v.string(), v.description("VMM, version and accelerator")),
  usedBytes: bytes,
  createdAt: timestamp,
  lastUsedAt: timestamp,
});
export type TemplateRecord = v.InferOutput<typeof templateRecord>;

export const imageRecord = v.object({
  id: v.pipe(v.string(), v.description("sha256 of the manifest: 64 hex digits")),
  name: v.string(),
  /** Further names. */
  tags: v.array(v.string()),
  source: v.pipe(
    v.string(),
    v.description(
      '"catalog:<recipe>", "tar:<file name>", "registry:<reference>", "layout:<file name>" or "file:<path>"',
    ),
  ),
  rootfsPath: v.string(),
  rootfsSha256: v.pipe(
    v.string(),
    v.description("sha256 of the root file system's content as it was imported (the tar)"),
  ),
  sizeBytes: v.pipe(bytes, v.description("size of the ext4 file")),
  usedBytes: v.pipe(bytes, v.description("bytes that it takes on the host")),
  architecture: v.string(),
  /** Digests of the image that it was made of; null for one that was made of a file system. */
  digests: v.nullable(
    v.object({
      /** What the reference named: an index of several platforms, or the manifest. */
      reference: v.string(),
      manifest: v.string(),
      config: v.string(),
      layers: v.array(v.string()),
    }),
  ),
  config: v.object({
    environment: v.array(v.string()),
    user: v.string(),
    workdir: v.string(),
    /** What "vm run" puts before the words behind "--". */
    entrypoint: v.array(v.string()),
    /** What "vm run" runs without such words, behind the entrypoint. */
    command: v.array(v.string()),
    exposedPorts: v.array(v.string()),
    volumes: v.array(v.string()),
    stopSignal: v.string(),
    labels: v.record(v.string(), v.string()),
  }),
  createdAt: timestamp,
});
export type ImageRecord = v.InferOutput<typeof imageRecord>;

export const kernelRecord = v.object({
  id: v.pipe(v.string(), v.description("sha256 of the manifest: 64 hex digits")),
  name: v.string(),
  version: v.pipe(v.string(), v.description("kernel release, e.g. 6.1.0-30-cloud-amd64")),
  architecture: v.string(),
  source: v.string(),
  kernelPath: v.string(),
  kernelSha256: v.string(),
  modulesDir: v.pipe(
    v.nullable(v.string()),
    v.description("directory that holds lib/modules/<version>; null when all is built in"),
  ),
  sizeBytes: bytes,
  createdAt: timestamp,
});
export type KernelRecord = v.InferOutput<typeof kernelRecord>;

export const catalogEntry = v.object({
  name: v.string(),
  description: v.string(),
  architecture: v.string(),
  present: v.pipe(v.boolean(), v.description("already pulled")),
});

export const errorBody = v.object({
  code: v.string(),
  message: v.string(),
  hint: v.optional(v.string()),
  causes: v.optional(v.array(v.string())),
  details: v.optional(v.record(v.string(), v.unknown())),
  operation: v.optional(v.string()),
});

export const operationKind = v.picklist([
  "vm.create",
  "vm.start",
  "vm.stop",
  "vm.restart",
  "vm.delete",
  "vm.set",
  "vm.pause",
  "vm.resume",
  "vm.restore",
  "vm.fork",
  "snapshot.create",
  "template.warm",
  "image.warm",
  "workspace.prepare",
  "workspace.export",
  "workspace.apply",
  "workspace.toolchain.install",
  "workspace.refresh",
  "image.pull",
  "image.import",
  "image.export",
  "image.register",
  "image.promote",
  "image.cache.verify",
  "system.prune",
  "kernel.pull",
  "kernel.import",
]);
export type OperationKind = v.InferOutput<typeof operationKind>;

export const progressPart = v.object({
  name: v.pipe(v.string(), v.description("what it is: the digest of a layer")),
  state: v.pipe(v.picklist(["waiting", "running", "done", "cached"]), v.description("cached: it was there before")),
  doneBytes: bytes,
  totalBytes: bytes,
});
export type ProgressPart = v.InferOutput<typeof progressPart>;

export const operation = v.object({
  id: v.string(),
  kind: operationKind,
  /** What it works on: a name or id. */
  target: v.string(),
  /** Short word for the step under way: "boot", "download", "build", ... */
  stage: v.string(),
  detail: v.string(),
  progress: v.nullable(
    v.object({
      doneBytes: bytes,
      totalBytes: v.nullable(bytes),
      /** What arrives at the same time, in its order: the layers of an image. */
      parts: v.optional(v.array(progressPart)),
    }),
  ),
  startedAt: timestamp,
  updatedAt: timestamp,
  done: v.boolean(),
  error: v.nullable(errorBody),
  /** What the method's `result` schema says, once done without an error. */
  result: v.unknown(),
});
export type Operation = v.InferOutput<typeof operation>;

export const check = v.object({
  name: v.string(),
  status: v.picklist(["PASS", "WARN", "FAIL"]),
  details: v.array(v.string()),
  /** The command that mends it; empty when nothing has to be mended. */
  fix: v.string(),
});
export type Check = v.InferOutput<typeof check>;
