// Methods on the networks of VMs: what they may reach, and what they did.
import * as v from "valibot";
import { method } from "./method.ts";
import { networkChange, networkPolicy, networkRecord, networkState, networkVerdict } from "./network-records.ts";

const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
const vm = v.strictObject({ vm: reference });

export const networkMethods = {
  "net.policy": method({
    kind: "unary",
    summary: "What a VM may reach, and whether its network is up.",
    params: vm,
    result: networkState,
  }),
  "net.set": method({
    kind: "unary",
    summary:
      "Changes what a VM may reach: at once while it runs. Open connections that are not allowed any more are cut.",
    params: v.strictObject({ vm: reference, change: networkChange }),
    result: v.object({ network: networkState, cut: v.pipe(v.number(), v.description("connections that were cut")) }),
  }),
  "net.check": method({
    kind: "unary",
    summary: "What the network of a running VM would do with a connection, without one.",
    params: v.strictObject({
      vm: reference,
      host: v.pipe(v.string(), v.minLength(1), v.maxLength(253), v.description("a name or an address")),
      port: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535)),
      protocol: v.optional(v.picklist(["tcp", "udp", "icmp"])),
      resolve: v.optional(v.pipe(v.boolean(), v.description("look the name up and judge its addresses, too"))),
    }),
    result: v.object({
      verdict: networkVerdict,
      addresses: v.array(v.object({ address: v.string(), verdict: networkVerdict })),
      resolveFailure: v.pipe(v.string(), v.description("why the name was not looked up, or could not be; else empty")),
    }),
  }),
  "net.log": method({
    kind: "events",
    summary: "Connections and names of a running VM, oldest first; with follow it goes on.",
    params: v.strictObject({
      vm: reference,
      follow: v.optional(v.boolean()),
      after: v.optional(
        v.pipe(v.number(), v.integer(), v.minValue(0), v.description("only lines behind the one with this sequence")),
      ),
    }),
    result: networkRecord,
  }),
  "net.workspace": method({
    kind: "unary",
    summary:
      "What the banger.toml in a directory says of the network; null when it says nothing. It is a stranger's wish.",
    params: v.strictObject({
      root: v.pipe(
        v.string(),
        v.startsWith("/"),
        v.maxLength(4096),
        v.description("absolute path of a work tree's top"),
      ),
    }),
    result: v.object({ policy: v.nullable(networkPolicy) }),
  }),
  "net.restart": method({
    kind: "unary",
    summary: "Starts what carries the network of a running VM anew. Its open connections end.",
    params: vm,
    result: networkState,
  }),
};
