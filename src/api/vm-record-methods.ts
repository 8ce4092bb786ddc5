// Methods on what is recorded of VMs: their names and labels, and the wait for a change of it.
import * as v from "valibot";
import { labelKey, labelKeyWords, labelValue, labelValueWords } from "../lib/label.ts";
import { method } from "./method.ts";
import { vmRecord, vmState } from "./records.ts";

const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));

/** What a VM may be labelled with. */
export const newLabels = v.pipe(
  v.record(
    v.pipe(v.string(), v.regex(labelKey, labelKeyWords)),
    v.pipe(v.string(), v.regex(labelValue, labelValueWords)),
  ),
  v.maxEntries(64),
);

const timestamp = v.pipe(v.number(), v.description("milliseconds since 1970"));

/** One change of what is recorded of a VM. */
export const vmEvent = v.object({
  at: timestamp,
  kind: v.pipe(
    v.picklist([
      "subscribed",
      "created",
      "state",
      "renamed",
      "labels",
      "lifetime",
      "forwards",
      "network",
      "spec",
      "disks",
      "deleted",
    ]),
    v.description("subscribed: the first line, of no VM: from here on nothing is missed"),
  ),
  vm: v.nullable(v.object({ id: v.string(), name: v.string(), state: vmState, reason: v.string() })),
});
export type VmEvent = v.InferOutput<typeof vmEvent>;

/** What `vm.wait` waits for. */
export const waitCondition = v.union([
  v.picklist(["running", "stopped", "paused", "deleted", "exec"]),
  v.strictObject({ port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)) }),
]);
export type WaitCondition = v.InferOutput<typeof waitCondition>;

export const vmRecordMethods = {
  "vm.rename": method({
    kind: "unary",
    summary: "Gives a VM another name. A running guest keeps the host name that it was started with.",
    params: v.strictObject({ vm: reference, name: v.string() }),
    result: vmRecord,
  }),
  "vm.label": method({
    kind: "unary",
    summary: "Sets and removes labels of a VM.",
    params: v.strictObject({
      vm: reference,
      set: v.optional(newLabels),
      remove: v.optional(v.pipe(v.array(v.string()), v.maxLength(64))),
    }),
    result: vmRecord,
  }),
  "vm.wait": method({
    kind: "unary",
    summary: "Returns once a VM is in a state, takes commands (exec), or listens on a port of its loopback.",
    params: v.strictObject({
      vm: reference,
      for: waitCondition,
      timeoutMs: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(2 ** 31 - 1))),
    }),
    /** null: the VM was deleted, and that was waited for. */
    result: v.object({ vm: v.nullable(vmRecord) }),
  }),
  "vm.events": method({
    kind: "events",
    summary:
      "Every change of what is recorded of VMs, from now on, until the client leaves or, with a VM, until that is deleted.",
    params: v.strictObject({ vm: v.optional(reference) }),
    result: vmEvent,
  }),
};
