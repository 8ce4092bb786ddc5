// Methods that look into a running VM: what it uses, what runs in it, what listens there.
import * as v from "valibot";
import { method } from "./method.ts";

const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
const bytes = v.pipe(v.number(), v.description("bytes"));

export const vmStats = v.object({
  id: v.string(),
  name: v.string(),
  at: v.pipe(v.number(), v.description("milliseconds since 1970")),
  /** What the VM takes of the host. */
  host: v.object({
    cpuMs: v.pipe(v.number(), v.description("processor time of the VMM since it began")),
    residentBytes: v.pipe(bytes, v.description("memory of the VMM, pages that it shares with others included")),
    diskBytes: v.pipe(bytes, v.description("what the VM's own disks take")),
  }),
  /** What the guest says of itself; null when it does not answer. */
  guest: v.nullable(
    v.object({
      uptimeMs: v.number(),
      memoryTotalBytes: bytes,
      memoryAvailableBytes: bytes,
      load1: v.number(),
      processes: v.number(),
      disks: v.array(v.object({ mountPoint: v.string(), totalBytes: bytes, usedBytes: bytes })),
    }),
  ),
});
export type VmStats = v.InferOutput<typeof vmStats>;

export const guestProcess = v.object({
  pid: v.number(),
  parentPid: v.number(),
  uid: v.number(),
  state: v.pipe(v.string(), v.description("one letter, as ps has it")),
  cpuPercent: v.pipe(v.number(), v.description("of one processor: 200 is two of them")),
  cpuMs: v.number(),
  residentBytes: bytes,
  command: v.string(),
  ageMs: v.number(),
});

export const guestPort = v.object({
  protocol: v.picklist(["tcp", "udp"]),
  address: v.pipe(v.string(), v.description("what it is bound to inside the guest")),
  port: v.number(),
  pid: v.pipe(v.number(), v.description("0: not known")),
  process: v.string(),
  command: v.string(),
  http: v.pipe(v.boolean(), v.description("it answered a request as HTTP servers do")),
  url: v.pipe(v.nullable(v.string()), v.description("where the host reaches it, when it is forwarded and speaks HTTP")),
});
export type GuestPort = v.InferOutput<typeof guestPort>;

export const guestMethods = {
  "vm.stats": method({
    kind: "unary",
    summary:
      "What running VMs use of the host, and what their guests say of themselves; of all of them unless some are named.",
    params: v.strictObject({ vms: v.optional(v.pipe(v.array(reference), v.maxLength(1000))) }),
    result: v.object({ vms: v.array(vmStats) }),
  }),
  "vm.processes": method({
    kind: "unary",
    summary: "Processes of a running VM, those that took most processor time during the interval first.",
    params: v.strictObject({
      vm: reference,
      /** 0 to 5000; 0: since each process began. Default 0. */
      intervalMs: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(5000))),
    }),
    result: v.object({ processes: v.array(guestProcess), truncated: v.boolean() }),
  }),
  "vm.ports": method({
    kind: "events",
    summary: "What listens in a running VM; with follow again whenever that changes, until the client leaves.",
    params: v.strictObject({ vm: reference, follow: v.optional(v.boolean()) }),
    result: v.object({ ports: v.array(guestPort) }),
  }),
  "vm.ping": method({
    kind: "unary",
    summary: "Whether the guest's agent answers, and how quickly. Never an error because of the guest.",
    params: v.strictObject({ vm: reference }),
    result: v.object({ alive: v.boolean(), roundTripMs: v.nullable(v.number()), reason: v.string() }),
  }),
};
