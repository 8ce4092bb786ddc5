// From what was asked for to the policy that is recorded, and from that to the words of banger-netd. Pure.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { NetworkMode, NetworkPolicy, NetworkRequest } from "../api/network-records.ts";
import { BangerError } from "../lib/errors.ts";
import { parseNetworkRule } from "../lib/network-rule.ts";
import { Mode, type PolicySchema, Protocol, Rule_Action } from "./gen/banger/netd/v1/netd_pb.js";

/** The policies that config.toml has, and what a VM gets for which nothing is said. */
export interface PolicySettings {
  /** A mode or the name of a policy. */
  fallback: string;
  policies: ReadonlyMap<string, Omit<NetworkPolicy, "name" | "secrets" | "join">>;
}

const modes: Readonly<Record<NetworkMode, Mode>> = {
  none: Mode.NONE,
  open: Mode.OPEN,
  balanced: Mode.BALANCED,
  locked: Mode.LOCKED,
};

const isMode = (word: string): word is NetworkMode => Object.hasOwn(modes, word);

/**
 * The policy that a request means; undefined is no request. Rules alone, without a mode or a policy, mean "locked": nothing else.
 * Throws `network.policy-invalid`.
 */
export function resolvePolicy(request: NetworkRequest | undefined, settings: PolicySettings): NetworkPolicy {
  const { allow = [], deny = [], hostPorts = [], secrets = [], use, name, join } = request ?? {};
  const hasRules = allow.length + deny.length + hostPorts.length + secrets.length > 0 || join !== undefined;
  if (use === undefined && allow.length + hostPorts.length + secrets.length === 0 && deny.length > 0) {
    throw new BangerError("network.policy-invalid", `--deny needs to know what is allowed otherwise`, {
      hint: `--network balanced --deny ${deny[0] ?? ""}`,
    });
  }
  const base = basePolicy(use ?? (hasRules ? "locked" : settings.fallback), settings);
  const policy: NetworkPolicy = {
    mode: base.mode,
    name: name ?? base.name,
    allow: unique([...base.allow, ...allow]),
    deny: unique([...base.deny, ...deny]),
    hostPorts: unique([...base.hostPorts, ...hostPorts]),
    secrets: unique(secrets),
    // Whoever knows the networks gives it its place in one.
    join: null,
  };
  if (policy.mode === "none" && hasRules) {
    throw new BangerError("network.policy-invalid", "a VM without a network has no rules", {
      hint: "--network locked --allow …  # or leave the rules out",
    });
  }
  for (const rule of policy.allow) parseNetworkRule(rule, "--allow");
  for (const rule of policy.deny) parseNetworkRule(rule, "--deny");
  return policy;
}

function basePolicy(word: string, { policies }: PolicySettings): NetworkPolicy {
  if (isMode(word)) return { mode: word, name: null, allow: [], deny: [], hostPorts: [], secrets: [], join: null };
  const found = policies.get(word);
  if (found !== undefined) return { ...found, name: word, secrets: [], join: null };
  const known = policies.size === 0 ? "" : `; policies of config.toml: ${[...policies.keys()].join(", ")}`;
  throw new BangerError(
    "network.policy-invalid",
    `"${word}" is no network mode (${Object.keys(modes).join(", ")}) and no policy${known}`,
    { hint: "banger config show  # its network.policies" },
  );
}

/** Nothing at all. */
export const noNetwork: NetworkPolicy = {
  ...{ mode: "none", name: null, allow: [], deny: [], hostPorts: [] },
  secrets: [],
  join: null,
};

/** In the words of banger-netd. The policy was checked. */
export function policyMessage(policy: NetworkPolicy): MessageInitShape<typeof PolicySchema> {
  return {
    mode: modes[policy.mode],
    rules: [
      ...policy.allow.map((text) => ruleMessage(text, Rule_Action.ALLOW)),
      ...policy.deny.map((text) => ruleMessage(text, Rule_Action.DENY)),
    ],
    hostPorts: policy.hostPorts,
    name: policy.name ?? "",
  };
}

const protocols = { any: Protocol.UNSPECIFIED, tcp: Protocol.TCP, udp: Protocol.UDP, icmp: Protocol.ICMP } as const;

function ruleMessage(text: string, action: Rule_Action) {
  const { protocol, ...rule } = parseNetworkRule(text, "rule");
  return { action, ...rule, protocol: protocols[protocol] };
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
