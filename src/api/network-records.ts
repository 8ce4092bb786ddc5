// What a VM may reach: its policy, as it is recorded and shown, and how one is asked for.
import * as v from "valibot";

/** What holds where no rule says otherwise. */
export const networkMode = v.pipe(
  v.picklist(["none", "open", "balanced", "locked"]),
  v.description(
    "none: no network; open: all but what belongs to the host; balanced: public addresses; locked: nothing but what a rule allows",
  ),
);
export type NetworkMode = v.InferOutput<typeof networkMode>;

const rule = v.pipe(v.string(), v.minLength(1), v.maxLength(300));
const rules = v.pipe(v.array(rule), v.maxLength(1000));
const hostPort = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const hostPorts = v.pipe(v.array(hostPort), v.maxLength(100));

export const networkPolicy = v.object({
  mode: networkMode,
  name: v.pipe(
    v.nullable(v.string()),
    v.description("of the policy in config.toml or the file that it is from; null: of flags alone"),
  ),
  allow: rules,
  deny: rules,
  hostPorts: v.pipe(hostPorts, v.description("TCP ports of the host's 127.0.0.1 that the VM reaches as host.vm")),
  secrets: v.pipe(
    v.array(v.string()),
    v.description("names of secrets that its requests may use; it never has their values"),
  ),
  join: v.pipe(
    v.nullable(v.object({ network: v.string(), address: v.string() })),
    v.description("the network that it is in with other VMs, and what it is there"),
  ),
});
export type NetworkPolicy = v.InferOutput<typeof networkPolicy>;

export const networkState = v.object({
  ...networkPolicy.entries,
  state: v.pipe(
    v.picklist(["off", "up", "failed"]),
    v.description("off: the VM does not run, or has none; failed: what carried it has ended"),
  ),
  reason: v.pipe(v.string(), v.description("why it failed; else empty")),
  pid: v.pipe(v.nullable(v.number()), v.description("the process that carries it")),
});
export type NetworkState = v.InferOutput<typeof networkState>;

/** What is asked for; what is left out is not asked for. */
export const networkRequest = v.strictObject({
  use: v.optional(
    v.pipe(
      v.string(),
      v.minLength(1),
      v.maxLength(63),
      v.description("a mode, or the name of a policy in config.toml"),
    ),
  ),
  allow: v.optional(rules),
  deny: v.optional(rules),
  hostPorts: v.optional(hostPorts),
  join: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(63), v.description("a network of network.create"))),
  secrets: v.optional(v.pipe(v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(63))), v.maxLength(64))),
  name: v.optional(
    v.pipe(v.string(), v.minLength(1), v.maxLength(63), v.description("what the policy is called afterwards")),
  ),
});
export type NetworkRequest = v.InferOutput<typeof networkRequest>;

/** A change of a VM's policy. With `use` a new one; else rules are added to the one that it has, and removed. */
export const networkChange = v.strictObject({
  ...networkRequest.entries,
  remove: v.optional(v.pipe(rules, v.description('rules as they are shown; "host.vm:PORT" for a port of the host'))),
});
export type NetworkChange = v.InferOutput<typeof networkChange>;

export const networkVerdict = v.object({
  allowed: v.boolean(),
  rule: v.pipe(v.string(), v.description("what decided: a rule as it is written, or the mode")),
  reason: v.pipe(v.string(), v.description("why not, as one word; empty when allowed")),
  suggestion: v.pipe(
    v.string(),
    v.description("the options that would allow it: --allow api.example.com:443; empty when none can"),
  ),
});
export type NetworkVerdict = v.InferOutput<typeof networkVerdict>;

/** One line of `net.log`. */
export const networkRecord = v.object({
  sequence: v.pipe(
    v.number(),
    v.description("1 for the first line of this network; grows; 0 of lines that were missed"),
  ),
  at: v.pipe(v.number(), v.description("milliseconds since 1970")),
  event: v.pipe(
    v.picklist(["denied", "opened", "closed", "resolved", "failed", "missed"]),
    v.description(
      "failed: allowed, but the host could not connect; missed: lines were dropped before they could be read",
    ),
  ),
  protocol: v.picklist(["tcp", "udp", "icmp", "dns"]),
  flow: v.pipe(v.number(), v.description("joins opened with closed; 0: the line stands alone")),
  name: v.string(),
  nameSource: v.pipe(v.string(), v.description('where the name is from: "dns", "tls" or "http"')),
  address: v.string(),
  port: v.number(),
  question: v.pipe(v.string(), v.description("of a DNS question: its type")),
  answers: v.array(v.string()),
  verdict: networkVerdict,
  bytesUp: v.number(),
  bytesDown: v.number(),
  durationMs: v.number(),
  secrets: v.pipe(v.array(v.string()), v.description("names of secrets whose values went along")),
  repeated: v.pipe(v.number(), v.description("equal denials within a second are one line")),
  missed: v.number(),
});
export type NetworkRecord = v.InferOutput<typeof networkRecord>;
