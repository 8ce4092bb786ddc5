// The network of one start: begun beside the rest of it, and there before any process of the guest's users runs.
import type { NetworkPolicy } from "../../api/network-records.ts";
import type { GuestNetwork } from "../../guest/agent.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import type { VmRow } from "../../state/vms.ts";
import { networkSocketName } from "../../vmm/driver.ts";
import { introduce } from "./peers.ts";
import type { VmContext } from "../context.ts";

/** What a start does with the network of its VM. Dispose ends the network, which a start that succeeds must not do. */
export interface NetworkUse extends AsyncDisposable {
  /** How the guest is configured; undefined: the VM has no network. Waits for what carries it. */
  guest(options: { signal: AbortSignal }): Promise<GuestNetwork | undefined>;
  /** Resolves when the machine, which runs or stands still, is connected. Throws `network.failed`. */
  attached(options: { signal: AbortSignal }): Promise<void>;
}

/** Whether a VM is to have a network when it runs. */
export function hasNetwork(row: Pick<VmRow, "network">): row is { network: NetworkPolicy } {
  return row.network !== null && row.network.mode !== "none";
}

/** Begins the network of a VM that is about to start. The caller holds the VM's lock. Throws `network.missing`. */
export function beginNetwork(
  parts: Pick<VmContext, "networks" | "state" | "paths" | "log" | "locks">,
  row: Pick<VmRow, "id" | "network">,
  options: { signal: AbortSignal },
): NetworkUse {
  if (!hasNetwork(row)) return noNetwork;
  const { id, network: policy } = row;
  const { networks } = parts;
  networks.requireProgram();
  const start = { vmmSocket: networkSocketName, policy };
  const begun = networks.ensure(id, start, options);
  // It may fail before anybody waits for it.
  begun.catch(() => {});
  return {
    async guest() {
      return await begun;
    },
    async attached({ signal }) {
      await begun;
      await networks.attached(id, start, { signal });
      const network = policy.join?.network;
      if (network !== undefined) await introduce(parts, network, { signal, first: id });
      crashPoint("network.attached");
    },
    async [Symbol.asyncDispose]() {
      await begun.catch(() => {});
      await networks.end(id);
    },
  };
}

const noNetwork: NetworkUse = {
  async guest() {
    return await Promise.resolve(undefined);
  },
  async attached() {},
  async [Symbol.asyncDispose]() {},
};
