// Addresses of VMs.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseLoopbackNetwork } from "../lib/loopback-network.ts";
import { openState } from "../state/open.ts";
import { addParts, exampleVm } from "../state/testdata/rows.ts";
import { giveAddresses, nextAddress, type AddressPool } from "./addresses.ts";

test("every VM gets one, of its own, as long as there are some; homes begin at different places", () => {
  const root = mkdtempSync(join(tmpdir(), "banger-addresses-"));
  using state = openState(join(root, "db"));
  addParts(state);
  const pool: AddressPool = { network: parseLoopbackNetwork("127.9.0.0/29") ?? { first: 0, size: 0 }, homeId: "a" };
  for (let count = 0; count < 7; count++) {
    state.vms.insert(exampleVm({ id: `00000000000${count}`, name: `vm-${count}`, address: null }));
  }
  const first = nextAddress(pool, state.vms);
  giveAddresses(pool, state.vms);
  const given = state.vms.list().flatMap(({ address }) => address ?? []);
  assert.equal(new Set(given).size, 6);
  assert.ok(given.includes(first ?? ""));
  assert.equal(nextAddress(pool, state.vms), null);
  assert.equal(nextAddress(undefined, state.vms), null);
  const network = parseLoopbackNetwork("127.77.0.0/16") ?? pool.network;
  assert.notEqual(nextAddress({ network, homeId: "a" }, state.vms), nextAddress({ network, homeId: "b" }, state.vms));
  rmSync(root, { recursive: true });
});
