// What a VM that is made may reach: what was asked for, the hosts of the secrets that it may use, and the network that it is in with others.
import type { NetworkPolicy, NetworkRequest } from "../../api/network-records.ts";
import { resolvePolicy } from "../../network/policy.ts";
import { joinNetwork } from "./peers.ts";
import type { VmContext } from "../context.ts";

/** Throws `network.policy-invalid`, `network.not-found`, `secret.not-found`. */
export function resolveNetwork(
  context: Pick<VmContext, "policies" | "secrets" | "state">,
  request: NetworkRequest | undefined,
): NetworkPolicy {
  const policy = resolvePolicy(request, context.policies);
  const rules = context.secrets.rulesFor(policy.secrets);
  const join = request?.join === undefined ? null : joinNetwork(context, request.join);
  return { ...policy, join, allow: [...new Set([...policy.allow, ...rules])] };
}
