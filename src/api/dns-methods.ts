// Methods on the names of VMs.
import * as v from "valibot";
import { method } from "./method.ts";

const resolver = v.picklist(["systemd-resolved", "dnsmasq", "NetworkManager", "resolv.conf"]);

/** Where names of VMs are answered, and whether they are. */
export const dnsStatus = v.object({
  server: v.string(),
  port: v.pipe(v.number(), v.description("0: switched off")),
  listening: v.boolean(),
  problem: v.pipe(v.string(), v.description("why it does not listen; else empty")),
});

export const dnsMethods = {
  "dns.status": method({
    kind: "unary",
    summary: "Where names below .vm are answered, and whether they are.",
    params: v.strictObject({}),
    result: dnsStatus,
  }),
  "dns.setup": method({
    kind: "unary",
    summary:
      "What makes this host's resolver ask the daemon for names below .vm; with apply it is done, which needs root.",
    params: v.strictObject({
      /** Default: the one that is in use. */
      resolver: v.optional(resolver),
      apply: v.optional(v.boolean()),
    }),
    result: v.object({
      resolver,
      files: v.pipe(
        v.array(v.object({ path: v.string(), content: v.string() })),
        v.description("to be written; empty when there is no way that a program should take by itself"),
      ),
      commands: v.pipe(v.array(v.array(v.string())), v.description("to be run after it")),
      notes: v.array(v.string()),
      applied: v.boolean(),
    }),
  }),
};
