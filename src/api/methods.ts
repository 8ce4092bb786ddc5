// Every method of the daemon: name -> schemas. The single source of truth for server, client, OpenAPI and docs.
import * as v from "valibot";
import { method, type MethodKind, type Params, type Result } from "./method.ts";
import { dnsMethods, dnsStatus } from "./dns-methods.ts";
import { forwardMethods, newForwards } from "./forward-methods.ts";
import { guestMethods } from "./guest-methods.ts";
import { lifetimeMethods, newLifetime } from "./lifetime-methods.ts";
import { imageMethods } from "./image-methods.ts";
import { networkMethods } from "./network-methods.ts";
import { networkRequest } from "./network-records.ts";
import { peerMethods } from "./peer-methods.ts";
import { registryMethods } from "./registry-methods.ts";
import { secretMethods } from "./secret-methods.ts";
import { setMethods } from "./set-methods.ts";
import { systemMethods } from "./system-methods.ts";
import { newLabels, vmRecordMethods } from "./vm-record-methods.ts";
import { workspaceExportMethods } from "./workspace-export-methods.ts";
import { workspaceMethods } from "./workspace-methods.ts";
import { workspaceToolMethods } from "./workspace-tool-methods.ts";
import {
  catalogEntry,
  check,
  kernelRecord,
  operation,
  snapshotRecord,
  startKind,
  templateRecord,
  vmRecord,
} from "./records.ts";

const none = v.strictObject({});
const done = v.object({});
/** Name, id or unambiguous prefix of an id or name. */
const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
const hostPath = v.pipe(v.string(), v.startsWith("/"), v.maxLength(4096), v.description("absolute path on the host"));
const guestPath = v.pipe(v.string(), v.startsWith("/"), v.maxLength(4096), v.description("absolute path in the guest"));
const vm = v.strictObject({ vm: reference });
const count = v.pipe(v.number(), v.integer());
const terminalSize = v.strictObject({
  columns: v.pipe(count, v.minValue(1), v.maxValue(10_000)),
  rows: v.pipe(count, v.minValue(1), v.maxValue(10_000)),
});
const initPath = v.pipe(
  guestPath,
  v.description("path of the image's own init, e.g. /sbin/init; it is PID 1 of all that runs in the VM"),
);
/** Sizes are optional everywhere: the daemon fills in [vm_defaults] and the host heuristic. */
const vmCreate = v.strictObject({
  name: v.optional(v.string()),
  image: v.optional(reference),
  kernel: v.optional(reference),
  vcpus: v.optional(count),
  memoryMib: v.optional(count),
  diskBytes: v.optional(count),
  overlayBytes: v.optional(count),
  init: v.optional(initPath),
  labels: v.optional(newLabels),
  lifetime: v.optional(newLifetime),
  /** What it may reach. Default: what config.toml says, which is nothing; from a snapshot: what its VM could. */
  network: v.optional(networkRequest),
  /** Ports and sockets of the host that lead into it whenever it runs. */
  publish: v.optional(newForwards),
  start: v.optional(v.boolean()),
  autoRemove: v.optional(v.boolean()),
  /** Pull the image and kernel from the catalog when they are missing. Default true. */
  pull: v.optional(v.boolean()),
  /** Boot, although memory could be restored. */
  cold: v.optional(v.boolean()),
  /** Go on from this snapshot instead of an image; kernel, image and sizes are then the snapshot's and must not be given. */
  from: v.optional(reference),
});
const vmStart = v.strictObject({ vm: reference, cold: v.optional(v.boolean()) });

export const methods = {
  "daemon.status": method({
    kind: "unary",
    summary: "Version, process, paths and load of the daemon.",
    params: none,
    result: v.object({
      version: v.string(),
      commit: v.string(),
      builtAt: v.number(),
      pid: v.number(),
      startedAt: v.number(),
      socket: v.string(),
      stateDir: v.string(),
      log: v.string(),
      vmsRunning: v.number(),
      operationsRunning: v.number(),
      sessionsOpen: v.number(),
      residentBytes: v.number(),
      /** A daemon from before it was told has none, and is asked what it is before it is replaced. */
      dns: v.optional(dnsStatus),
    }),
  }),
  "daemon.stop": method({
    kind: "unary",
    summary:
      "Stops the daemon; running VMs go on. Refused with daemon.busy while operations or sessions are open, unless forced.",
    params: v.strictObject({ force: v.optional(v.boolean()) }),
    result: done,
  }),
  "doctor.run": method({
    kind: "unary",
    summary: "Checks the host and the store; changes nothing.",
    params: none,
    result: v.object({ checks: v.array(check) }),
  }),
  "config.show": method({
    kind: "unary",
    summary: "Each setting's value and where it came from.",
    params: none,
    result: v.object({
      file: v.string(),
      settings: v.array(
        v.object({
          key: v.string(),
          value: v.union([v.string(), v.number(), v.boolean()]),
          origin: v.picklist(["file", "host", "default"]),
          /** Line in the file when origin is "file". */
          line: v.nullable(v.number()),
        }),
      ),
    }),
  }),

  "operation.list": method({
    kind: "unary",
    summary: "Operations, newest first.",
    params: none,
    result: v.object({ operations: v.array(operation) }),
  }),
  "operation.show": method({
    kind: "unary",
    summary: "One operation.",
    params: v.strictObject({ id: v.string() }),
    result: operation,
  }),
  "operation.watch": method({
    kind: "events",
    summary: "The operation now and at each change; ends after the line with done = true.",
    params: v.strictObject({ id: v.string() }),
    result: operation,
  }),
  "operation.cancel": method({
    kind: "unary",
    summary:
      "Asks an operation to stop and to undo what it made. Returns at once; watch it for the end. A VM that was being made stays as stopped, with its console, unless `undo` is given or it was made with `autoRemove`.",
    params: v.strictObject({ id: v.string(), undo: v.optional(v.boolean()) }),
    result: operation,
  }),

  "vm.list": method({
    kind: "unary",
    summary: "All VMs, newest first.",
    params: none,
    result: v.object({ vms: v.array(vmRecord) }),
  }),
  "vm.show": method({ kind: "unary", summary: "One VM.", params: vm, result: vmRecord }),
  "vm.create": method({
    kind: "operation",
    summary: "Makes a VM and starts it unless start is false.",
    params: vmCreate,
    result: vmRecord,
  }),
  "vm.start": method({ kind: "operation", summary: "Starts a stopped VM.", params: vmStart, result: vmRecord }),
  "vm.stop": method({
    kind: "operation",
    summary: "Stops a VM cleanly; by force when it does not answer.",
    params: vm,
    result: vmRecord,
  }),
  "vm.restart": method({
    kind: "operation",
    summary: "Stops and starts a VM: fresh memory, same disks.",
    params: vmStart,
    result: vmRecord,
  }),
  "vm.kill": method({
    kind: "unary",
    summary: "Ends a VM's VMM at once; its disks stay.",
    params: vm,
    result: vmRecord,
  }),
  "vm.delete": method({
    kind: "operation",
    summary: "Ends a VM and removes its disks; with onlyIdle not one that runs or is paused. Cannot be undone.",
    params: v.strictObject({ vm: reference, onlyIdle: v.optional(v.boolean()) }),
    result: done,
  }),
  "vm.pause": method({
    kind: "operation",
    summary: "Puts a running VM's memory on the disk and ends its VMM; with keepRunning only its CPUs stop.",
    params: v.strictObject({ vm: reference, keepRunning: v.optional(v.boolean()) }),
    result: vmRecord,
  }),
  "vm.resume": method({
    kind: "operation",
    summary: "Lets a paused VM go on where it was.",
    params: vm,
    result: vmRecord,
  }),
  "vm.restore": method({
    kind: "operation",
    summary: "Puts a VM back to a snapshot: disks and, when it has it, memory. What came after is lost.",
    params: v.strictObject({ vm: reference, snapshot: reference }),
    result: vmRecord,
  }),
  "vm.fork": method({
    kind: "operation",
    summary: "New VMs that go on from the memory and disks of a VM as it is now, or of a snapshot.",
    params: v.strictObject({
      /** A VM or a snapshot. */
      source: reference,
      /** Default 1. */
      count: v.optional(v.pipe(count, v.minValue(1), v.maxValue(100))),
      /** Name of the fork; with a count above 1 the beginning of their names: <name>-1, <name>-2. */
      name: v.optional(v.string()),
    }),
    result: v.object({
      vms: v.array(vmRecord),
      /** How long the source stood still, in milliseconds; 0 for a snapshot. */
      pausedMs: v.number(),
    }),
  }),
  "snapshot.create": method({
    kind: "operation",
    summary: "Keeps memory and disks of a VM as they are now; the VM runs on.",
    params: v.strictObject({ vm: reference, name: v.optional(v.string()) }),
    result: snapshotRecord,
  }),
  "snapshot.list": method({
    kind: "unary",
    summary: "Snapshots, newest first; of one VM when it is named.",
    params: v.strictObject({ vm: v.optional(reference) }),
    result: v.object({ snapshots: v.array(snapshotRecord) }),
  }),
  "snapshot.show": method({
    kind: "unary",
    summary: "One snapshot.",
    params: v.strictObject({ snapshot: reference }),
    result: snapshotRecord,
  }),
  "snapshot.delete": method({
    kind: "unary",
    summary: "Removes a snapshot. Disks that VMs still rest on stay until those are gone.",
    params: v.strictObject({ snapshot: reference }),
    result: done,
  }),
  "template.list": method({
    kind: "unary",
    summary: "Memory templates, last used first.",
    params: none,
    result: v.object({ templates: v.array(templateRecord) }),
  }),
  "template.show": method({
    kind: "unary",
    summary: "One template.",
    params: v.strictObject({ template: reference }),
    result: templateRecord,
  }),
  "template.prune": method({
    kind: "unary",
    summary: "Removes templates that no start can use any more; with all, every one. Running VMs go on.",
    params: v.strictObject({ all: v.optional(v.boolean()), dryRun: v.optional(v.boolean()) }),
    result: v.object({ templates: v.array(templateRecord), freedBytes: v.number() }),
  }),
  "template.warm": method({
    kind: "operation",
    summary: "Makes the template for VMs of this shape now, unless it is there; with an image, also that of the image.",
    params: v.strictObject({
      image: v.optional(reference),
      diskBytes: v.optional(count),
      overlayBytes: v.optional(count),
      kernel: v.optional(reference),
      vcpus: v.optional(count),
      memoryMib: v.optional(count),
    }),
    result: templateRecord,
  }),
  "stats.starts": method({
    kind: "unary",
    summary: "How long the last starts took, for each kind.",
    params: none,
    result: v.object({
      starts: v.array(
        v.object({
          kind: startKind,
          count: v.number(),
          p50Ms: v.number(),
          p95Ms: v.number(),
          /** Medians. */
          phases: v.array(v.object({ name: v.string(), p50Ms: v.number() })),
        }),
      ),
    }),
  }),
  "vm.hold": method({
    kind: "events",
    summary:
      "Holds an autoRemove VM (by name or by the id of the operation that makes it): when this connection ends, the VM is deleted.",
    params: v.strictObject({ operation: v.string() }),
    result: v.object({ held: v.boolean() }),
  }),
  "vm.logs": method({
    kind: "download",
    summary: "The console log; with follow it goes on until the client leaves or the VM ends.",
    params: v.strictObject({ vm: reference, follow: v.optional(v.boolean()) }),
    result: done,
  }),
  "vm.health": method({
    kind: "unary",
    summary: "Whether the guest's agent answers and can start processes; why not, also of a VM that does not run.",
    params: vm,
    result: v.object({ healthy: v.boolean(), reason: v.string(), uptimeMs: v.number() }),
  }),
  "vm.exec": method({
    kind: "stream",
    summary: "Runs a command in a running VM.",
    params: v.strictObject({
      vm: reference,
      /** Empty: the login shell. */
      argv: v.pipe(v.array(v.string()), v.maxLength(10_000)),
      environment: v.optional(v.array(v.string())),
      /** Default: without `user` where the repository was put; else the image's or the user's. */
      cwd: v.optional(guestPath),
      user: v.optional(v.string()),
      terminal: v.optional(terminalSize),
      stdin: v.optional(v.boolean()),
      /** Number of the signal that "vm.stop" sends it before it asks all other processes. Absent: it is asked with them. */
      stopSignal: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64))),
      /** false: not through the guest's mise, also in a workspace whose repository pins tools. Default true. */
      tools: v.optional(v.boolean()),
    }),
    result: done,
  }),
  "vm.dial": method({
    kind: "stream",
    summary: "Connects to a TCP port, a unix socket or the SSH service of the agent inside a running VM.",
    params: v.strictObject({
      vm: reference,
      target: v.union([
        v.strictObject({ tcp: v.string() }),
        v.strictObject({ unix: v.string() }),
        v.strictObject({ service: v.literal("ssh") }),
      ]),
    }),
    result: done,
  }),
  "ssh.identity": method({
    kind: "unary",
    summary:
      "The key that SSH clients log in to VMs with, made when it is missing, and the directory for what they need.",
    params: none,
    result: v.object({ identityFile: v.string(), directory: v.string() }),
  }),
  "vm.ssh": method({
    kind: "unary",
    summary: "What an SSH client needs: identity file, known_hosts file with the pinned host key, host alias.",
    params: vm,
    result: v.object({
      vmId: v.string(),
      name: v.string(),
      identityFile: v.string(),
      knownHostsFile: v.string(),
      hostAlias: v.string(),
    }),
  }),
  "vm.pack": method({
    kind: "download",
    summary: "A tar of a file or directory of a running VM.",
    params: v.strictObject({ vm: reference, path: guestPath }),
    result: done,
  }),
  "vm.unpack": method({
    kind: "upload",
    summary: "Unpacks a tar below a directory of a running VM.",
    params: v.strictObject({ vm: reference, directory: guestPath }),
    result: v.object({ entries: v.number() }),
  }),
  "vm.stat": method({
    kind: "unary",
    summary: "Describes a file of a running VM; null when there is none.",
    params: v.strictObject({ vm: reference, path: guestPath }),
    result: v.object({
      file: v.nullable(v.object({ mode: v.number(), sizeBytes: v.number(), directory: v.boolean() })),
    }),
  }),

  ...networkMethods,
  ...workspaceMethods,
  ...workspaceExportMethods,
  ...workspaceToolMethods,
  ...secretMethods,
  ...peerMethods,
  ...imageMethods,
  "image.warm": method({
    kind: "operation",
    summary:
      "Starts a VM of an image, runs a command in it that brings its services up, and keeps all that as a snapshot.",
    params: v.strictObject({
      image: reference,
      /** Name of the snapshot; generated when left out. */
      name: v.optional(v.string()),
      /** Run to its end before the snapshot is taken; must exit with 0. Empty: nothing. */
      argv: v.optional(v.pipe(v.array(v.string()), v.maxLength(10_000))),
      environment: v.optional(v.array(v.string())),
      kernel: v.optional(reference),
      vcpus: v.optional(count),
      memoryMib: v.optional(count),
      diskBytes: v.optional(count),
      overlayBytes: v.optional(count),
      init: v.optional(initPath),
      /** While the command runs. The snapshot has what a VM has for which nothing is asked. */
      network: v.optional(networkRequest),
    }),
    result: snapshotRecord,
  }),
  ...registryMethods,
  ...systemMethods,
  ...lifetimeMethods,
  ...guestMethods,
  ...forwardMethods,
  ...dnsMethods,
  ...vmRecordMethods,
  ...setMethods,

  "kernel.list": method({
    kind: "unary",
    summary: "Local kernels.",
    params: none,
    result: v.object({ kernels: v.array(kernelRecord) }),
  }),
  "kernel.show": method({
    kind: "unary",
    summary: "One kernel.",
    params: v.strictObject({ kernel: reference }),
    result: kernelRecord,
  }),
  "kernel.delete": method({
    kind: "unary",
    summary: "Removes a kernel; refused while a VM uses it.",
    params: v.strictObject({ kernel: reference }),
    result: done,
  }),
  "kernel.import": method({
    kind: "operation",
    summary: "Makes a kernel from a .deb file or a directory with vmlinuz and lib/modules.",
    params: v.strictObject({ path: hostPath, name: v.string(), force: v.optional(v.boolean()) }),
    result: kernelRecord,
  }),
  "kernel.pull": method({
    kind: "operation",
    summary: "Fetches a kernel of the catalog from the distribution's mirror.",
    params: v.strictObject({ name: reference, force: v.optional(v.boolean()) }),
    result: kernelRecord,
  }),
  "kernel.catalog": method({
    kind: "unary",
    summary: "Kernels that can be pulled.",
    params: none,
    result: v.object({ entries: v.array(catalogEntry) }),
  }),
} as const;

export type Methods = typeof methods;
export type MethodName = keyof Methods;
/** Names of the methods of one kind. */
export type MethodsOfKind<K extends MethodKind> = {
  [N in MethodName]: Methods[N]["kind"] extends K ? N : never;
}[MethodName];
/** What a caller of a method gives, and what it gets, by name. */
export type ParamsOf<N extends MethodName> = Params<Methods[N]>;
export type ResultOf<N extends MethodName> = Result<Methods[N]>;
