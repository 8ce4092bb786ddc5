// Methods that change what a VM is made of.
import * as v from "valibot";
import { method } from "./method.ts";
import { networkChange } from "./network-records.ts";
import { vmRecord } from "./records.ts";

const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
const size = v.pipe(v.number(), v.integer(), v.minValue(0));

/** Parts of a spec, as its record names them. */
export const specPart = v.picklist(["vcpus", "memoryMib", "diskBytes", "overlayBytes"]);
export type SpecPart = v.InferOutput<typeof specPart>;

export const setMethods = {
  "vm.set": method({
    kind: "operation",
    summary:
      "Changes CPUs, memory and disk sizes of a VM. CPUs and memory hold from its next start on; disks grow while it runs and never get smaller. The network changes at once.",
    params: v.strictObject({
      vm: reference,
      vcpus: v.optional(size),
      memoryMib: v.optional(size),
      diskBytes: v.optional(size),
      overlayBytes: v.optional(size),
      network: v.optional(networkChange),
    }),
    result: v.object({
      vm: vmRecord,
      atNextStart: v.pipe(v.array(specPart), v.description("what the running machine has still otherwise")),
    }),
  }),
};
