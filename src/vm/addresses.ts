// Gives each VM a loopback address of the host.
import { createHash } from "node:crypto";
import { freeAddress, type LoopbackNetwork } from "../lib/loopback-network.ts";
import type { VmTable } from "../state/vms.ts";

export interface AddressPool {
  network: LoopbackNetwork;
  /** Of whom the VMs are: where in the network their addresses begin, so that those of two homes are seldom the same. */
  homeId: string;
}

/** One that no VM of the table has; null when there is none. To be recorded in the same turn. */
export function nextAddress(pool: AddressPool | undefined, table: VmTable): string | null {
  if (pool === undefined) return null;
  const start = createHash("sha256").update(pool.homeId).digest().readUInt32BE();
  const taken = new Set(table.list().flatMap(({ address }) => address ?? []));
  return freeAddress(pool.network, start, taken) ?? null;
}
