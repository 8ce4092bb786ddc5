// What a VM that is made may reach: what was asked for, and the hosts of the secrets that it may use.
import type { NetworkPolicy, NetworkRequest } from "../../api/network-records.ts";
import { resolvePolicy } from "../../network/policy.ts";
import type { VmContext } from "../context.ts";

/** Throws `network.policy-invalid`, `secret.not-found`. */
export function resolveNetwork(
  { policies, secrets }: Pick<VmContext, "policies" | "secrets">,
  request: NetworkRequest | undefined,
): NetworkPolicy {
  const policy = resolvePolicy(request, policies);
  const rules = secrets.rulesFor(policy.secrets);
  return { ...policy, allow: [...new Set([...policy.allow, ...rules])] };
}
