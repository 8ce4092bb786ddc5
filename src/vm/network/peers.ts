// Networks that VMs are in together: which there are, which address each member has, and telling every member who the others are.
import { randomInt } from "node:crypto";
import { join } from "node:path";
import type { NetworkPolicy } from "../../api/network-records.ts";
import type { PeerNetwork } from "../../api/peer-methods.ts";
import { namePattern } from "../../api/records.ts";
import { vmPaths } from "../../config/paths.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError } from "../../lib/errors.ts";
import { peerSocketName } from "../../network/process.ts";
import type { VmRow } from "../../state/vms.ts";
import type { VmContext } from "../context.ts";

type Parts = Pick<VmContext, "state" | "networks" | "paths" | "log" | "locks">;

/** The network, with an address of the VM's own in it. Throws `network.not-found`. */
export function joinNetwork({ state }: Pick<VmContext, "state">, network: string): NonNullable<NetworkPolicy["join"]> {
  if (!state.networks.list().some(({ name }) => name === network)) throw notFound(network);
  const taken = new Set(state.vms.list().map((row) => row.network?.join?.address));
  for (;;) {
    // By chance, as two VMs may be made at once: next to the first one would be both.
    const address = `198.19.${randomInt(0, 256)}.${randomInt(1, 255)}`;
    if (!taken.has(address)) return { network, address };
  }
}

/** The policy of a VM that goes on from another one: in the same network, as somebody else. */
export function forCopy(context: Pick<VmContext, "state">, policy: NetworkPolicy | null): NetworkPolicy | null {
  const network = policy?.join?.network;
  if (policy === null || network === undefined) return policy;
  const exists = context.state.networks.list().some(({ name }) => name === network);
  return { ...policy, join: exists ? joinNetwork(context, network) : null };
}

/** Tells all members of a network that run who the others are. Throws what netd answers for `first`; others are logged. */
export async function introduce(
  parts: Parts,
  network: string,
  options: { signal: AbortSignal; first?: string },
): Promise<void> {
  const { first, signal } = options;
  using _lock = await parts.locks.acquire(`network ${network}`, signal);
  const members = membersOf(parts, network).filter((row) => parts.networks.fact(row.id).state === "up");
  const peers = members.map((row) => ({ id: row.id, peer: peerOf(parts, row) }));
  await Promise.all(
    peers.map(async ({ id, peer }) => {
      const others = peers.flatMap((other) => (other.id === id ? [] : [other.peer]));
      try {
        await parts.networks.setPeers(id, { network, self: peer, others }, { signal });
      } catch (error) {
        if (id === first || signal.aborted) throw error;
        parts.log.warn("a VM was not told who is in its network", { vm: id, network, error });
      }
    }),
  );
}

/** All networks, for after something about a member has changed. Never throws. */
export async function introduceAll(parts: Parts): Promise<void> {
  const names = new Set(parts.state.vms.list().flatMap((row) => row.network?.join?.network ?? []));
  for (const network of names) {
    await introduce(parts, network, { signal: neverAborted }).catch((error: unknown) =>
      parts.log.warn("the members of a network were not told of each other", { network, error }),
    );
  }
}

export class PeerVerbs {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  list(): PeerNetwork[] {
    return this.#parts.state.networks.list().map(({ name, createdAt }) => ({
      name,
      createdAt,
      members: membersOf(this.#parts, name).map((row) => ({
        vm: row.name,
        address: row.network?.join?.address ?? "",
        up: this.#parts.networks.fact(row.id).state === "up",
      })),
    }));
  }

  /** Throws `network.policy-invalid` for a name that cannot be. */
  create(name: string): PeerNetwork {
    if (!namePattern.test(name)) {
      throw new BangerError(
        "network.policy-invalid",
        `"${name}" cannot be a network's name: 1 to 63 of a-z, 0-9 and "-"`,
      );
    }
    this.#parts.state.networks.insert({ name, createdAt: Date.now() });
    crashPoint("peers.recorded");
    return this.list().find((one) => one.name === name) ?? { name, members: [], createdAt: Date.now() };
  }

  /** Throws `network.not-found`, `network.in-use`. */
  remove(name: string): void {
    const [member] = membersOf(this.#parts, name);
    if (member !== undefined) {
      throw new BangerError("network.in-use", `VM "${member.name}" is in the network "${name}"`, {
        hint: `banger vm delete ${member.name}`,
      });
    }
    if (!this.#parts.state.networks.remove(name)) throw notFound(name);
    crashPoint("peers.removed");
  }
}

function membersOf({ state }: Pick<VmContext, "state">, network: string): VmRow[] {
  return state.vms.list().filter((row) => row.network?.join?.network === network && row.network.mode !== "none");
}

function peerOf({ paths }: Pick<VmContext, "paths">, row: VmRow) {
  const socket = join(vmPaths(paths, row.id).dir, peerSocketName);
  return { name: row.name, ipv4: row.network?.join?.address ?? "", socket };
}

function notFound(name: string): BangerError {
  return new BangerError("network.not-found", `there is no network "${name}"`, {
    hint: `banger network create ${name}  # or: banger network list`,
  });
}

const neverAborted = new AbortController().signal;
