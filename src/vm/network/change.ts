// Another network for a VM: at once when it runs, and from its next start on. What runs changes first and the record afterwards: a daemon
// that is killed in between goes back to the record (`recoverNetworks`).
import type { NetworkChange, NetworkPolicy } from "../../api/network-records.ts";
import { deadline, orAborted } from "../../lib/abort.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError } from "../../lib/errors.ts";
import { noNetwork, resolvePolicy, type PolicySettings } from "../../network/policy.ts";
import type { VmRow } from "../../state/vms.ts";
import { networkSocketName } from "../../vmm/driver.ts";
import type { VmContext } from "../context.ts";
import type { Session } from "../sessions.ts";
import { unlessTakenOver } from "../take-over.ts";
import { introduce } from "./peers.ts";
import { hasNetwork } from "./network-use.ts";

const guestTimeoutMs = 30_000;

/**
 * The policy that a VM has after a change. With `use` it is a new one; without, rules are added to the one that it has and removed from
 * it. Throws `network.policy-invalid`.
 */
export function changedPolicy(now: NetworkPolicy, change: NetworkChange, settings: PolicySettings): NetworkPolicy {
  // In which network it is with others is for its life.
  return { ...changedRules(now, change, settings), join: now.join };
}

function changedRules(now: NetworkPolicy, change: NetworkChange, settings: PolicySettings): NetworkPolicy {
  const { remove = [], ...asked } = change;
  // Its environment holds their placeholders from its start on.
  const request = { ...asked, secrets: asked.use === "none" ? [] : now.secrets };
  const base = request.use !== undefined || now.mode === "none" ? undefined : now;
  const unknown = remove.filter((text) => !isRuleOf(base ?? noNetwork, text));
  if (unknown.length > 0) {
    throw new BangerError("network.policy-invalid", `the VM has no rule "${unknown.join('", "')}"`, {
      hint: "banger net policy <vm>",
    });
  }
  if (base === undefined) return resolvePolicy(request, settings);
  const kept = (rules: readonly string[]) => rules.filter((text) => !remove.includes(text));
  const { allow = [], deny = [], hostPorts = [], name = base.name } = request;
  return resolvePolicy(
    {
      use: base.mode,
      allow: [...kept(base.allow), ...allow],
      deny: [...kept(base.deny), ...deny],
      hostPorts: [...base.hostPorts.filter((port) => !remove.includes(hostPortText(port))), ...hostPorts],
      ...(name === null ? {} : { name }),
      secrets: now.secrets,
    },
    settings,
  );
}

/** How a port of the host is named where rules are removed. */
const hostPortText = (port: number) => `host.vm:${port}`;

function isRuleOf({ allow, deny, hostPorts }: NetworkPolicy, text: string): boolean {
  return allow.includes(text) || deny.includes(text) || hostPorts.some((port) => hostPortText(port) === text);
}

/** The caller holds the VM's lock. Returns how many connections were cut. Throws `vm.wrong-state`, `network.*`, `guest.*`, `cancelled`. */
export async function changeNetwork(
  context: VmContext,
  row: VmRow,
  policy: NetworkPolicy,
  options: { signal: AbortSignal },
): Promise<number> {
  const session = context.sessions.get(row.id);
  const [before, after] = [hasNetwork(row), policy.mode !== "none"];
  let cut = 0;
  if (before !== after && row.state === "paused") {
    throw new BangerError("vm.wrong-state", `VM "${row.name}" is paused: a network cannot come or go now`, {
      hint: `banger vm resume ${row.name}`,
    });
  }
  if (session !== undefined && row.state === "running" && before !== after) {
    if (after) await giveNetwork(context, row, policy, session, options);
    else await takeNetwork(context, row, session, options);
  } else if (before && after) {
    cut = await context.networks.setPolicy(row.id, policy, options).catch((error: unknown) => {
      throw unlessTakenOver(error, session, row, "the rules of its network were changed");
    });
  }
  crashPoint("network.changed");
  context.state.vms.update(row.id, { network: policy });
  crashPoint("network.recorded");
  return cut;
}

/** To a VM that runs. After a failure it has none. */
export async function giveNetwork(
  context: VmContext,
  row: VmRow,
  policy: NetworkPolicy,
  session: Session,
  options: { signal: AbortSignal },
): Promise<void> {
  const { networks } = context;
  const start = { vmmSocket: networkSocketName, policy };
  const ended = new AbortController();
  const wasEnded = new BangerError("vm.wrong-state", `VM "${row.name}" ended meanwhile`);
  void session.machine.exited.then(() => ended.abort(wasEnded));
  using limit = guestDeadline(AbortSignal.any([options.signal, ended.signal]));
  const { signal } = limit;
  try {
    const guest = await networks.ensure(row.id, start, { signal });
    const agent = await orAborted(session.agent, signal);
    await Promise.all([networks.attached(row.id, start, { signal }), agent.setNetwork(guest, { signal })]);
    if (policy.join !== null) await introduce(context, policy.join.network, { signal, first: row.id });
  } catch (error) {
    await networks.end(row.id);
    throw ended.signal.aborted || session.ending ? wasEnded : error;
  }
}

async function takeNetwork(
  context: VmContext,
  row: VmRow,
  session: Session,
  options: { signal: AbortSignal },
): Promise<void> {
  using limit = guestDeadline(options.signal);
  try {
    const agent = await orAborted(session.agent, limit.signal);
    await agent.setNetwork(undefined, { signal: limit.signal });
  } catch (error) {
    // Without the guest's help it is as far from any network.
    context.log.warn("a guest did not take its network down", { vm: row.id, error });
  }
  await context.networks.end(row.id);
}

function guestDeadline(signal: AbortSignal) {
  return deadline(signal, guestTimeoutMs, () => {
    return new BangerError("guest.unreachable", `the guest did not answer within ${guestTimeoutMs / 1000} s`);
  });
}
