// What two VMs must not have in common, whatever memory they came from.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { VmRecord } from "../../src/api/records.ts";
import type { Home } from "./home.ts";

const facts =
  "cat /proc/sys/kernel/random/boot_id /etc/machine-id; hostname; head -c 32 /dev/urandom | od -An -tx1 -w32; cat /proc/sys/kernel/random/uuid; date +%s";

/** Asserts that two running VMs are who their records say, share no identity and no randomness, and know the time. */
export async function assertDifferentMachines(home: Home, names: readonly [string, string]): Promise<void> {
  const [one, two] = await Promise.all(
    names.map(async (name) => {
      const vm = await home.json<VmRecord>(["vm", "show", name]);
      const { stdout } = await home.ok(["vm", "exec", name, "--", "sh", "-c", facts]);
      const [bootId, machineId, hostname, random, uuid, time] = stdout.trim().split("\n");
      assert.deepEqual([bootId, hostname], [vm.bootId, name]);
      assert.ok(Math.abs(Number(time) - Date.now() / 1000) < 30, `the clock of "${name}" is off: ${time}`);
      const pin = readFileSync(join(vm.dir, "known_hosts"), "utf8").split(" ").at(-1);
      return [bootId, machineId, hostname, random, uuid, pin];
    }),
  );
  for (const [index, fact] of one?.entries() ?? assert.fail("no VM")) {
    assert.ok(fact);
    assert.notEqual(fact, two?.[index]);
  }
}
