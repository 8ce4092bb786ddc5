// Gives each VM a loopback address of the host.
import { createHash } from "node:crypto";
import { freeAddress, type LoopbackNetwork } from "../lib/loopback-network.ts";
import type { VmRow, VmTable } from "../state/vms.ts";

export interface AddressPool {
  network: LoopbackNetwork;
  /** Of whom the VMs are: where in the network their addresses begin, so that those of two homes are seldom the same. */
  homeId: string;
}

/** One that no VM of the table has; null when there is none. To be recorded in the same turn. */
export function nextAddress(pool: AddressPool | undefined, table: VmTable): string | null {
  return pool === undefined ? null : (pick(pool, takenOf(table.list())) ?? null);
}

/** Gives an address to each VM that has none. */
export function giveAddresses(pool: AddressPool, table: VmTable): void {
  const rows = table.list();
  const taken = takenOf(rows);
  for (const { id } of rows.filter((row) => row.address === null)) {
    const address = pick(pool, taken);
    if (address === undefined) return;
    taken.add(address);
    table.update(id, { address });
  }
}

const takenOf = (rows: readonly VmRow[]) => new Set(rows.flatMap(({ address }) => address ?? []));

function pick(pool: AddressPool, taken: ReadonlySet<string>): string | undefined {
  const start = createHash("sha256").update(pool.homeId).digest().readUInt32BE();
  return freeAddress(pool.network, start, taken);
}
