// Many VMs, many commands at once, many records, many operations: nothing is lost, mixed up or left over, and the daemon does not grow.
// Small here; with SOAK_SECONDS (make soak) in the sizes that we promise, again and again for that long.
import assert from "node:assert/strict";
import { after, before, describe, test, type TestContext } from "node:test";
import type { VmRecord } from "../../src/api/records.ts";
import { mib } from "../../src/lib/units.ts";
import {
  execs,
  fleet,
  inParallel,
  listMs,
  littleThings,
  LoadHome,
  multiplyRecords,
  removeCopies,
} from "../support/load.ts";

const soakSeconds = Number(process.env["SOAK_SECONDS"] ?? 0);
const soak = soakSeconds > 0;
// The heap finds its size in the first two thousand operations.
const sizes = soak
  ? { vms: 50, running: 8, execVms: 8, execs: 1000, warmUp: 2000, operations: 2000, records: 1000, rounds: 10 }
  : { vms: 10, running: 2, execVms: 2, execs: 60, warmUp: 40, operations: 80, records: 1000, rounds: 2 };
const inFlight = 16;
/** After a warm-up of as many operations. 20 MiB were asked for. */
const maxGrowthBytes = 10 * mib;
const maxListRatio = 2;

/** Once, and in a soak until the time is over. */
async function again(context: TestContext, work: () => Promise<void>): Promise<void> {
  const began = performance.now();
  let rounds = 0;
  do {
    await work();
    rounds += 1;
  } while (performance.now() - began < soakSeconds * 1000);
  context.diagnostic(`${rounds} rounds in ${Math.round((performance.now() - began) / 1000)} s`);
}

describe(`load (${soak ? "soak" : "small"})`, { concurrency: false, timeout: Infinity }, () => {
  let home: LoadHome;
  before(async () => {
    home = new LoadHome();
    await home.up();
  });
  after(() => home[Symbol.asyncDispose]());

  test(`${sizes.vms} VMs, ${sizes.running} of them running, are made, used and deleted`, (context) =>
    again(context, () => fleet(home, { count: sizes.vms, running: sizes.running })));

  test(`${sizes.execs} commands in ${sizes.execVms} VMs, ${inFlight} at once`, async (context) => {
    const vms: VmRecord[] = [];
    await inParallel(sizes.execVms, 4, async (number) => {
      vms[number] = await home.make(`exec-${number}`, true);
    });
    await again(context, () => execs(home, { vms, count: sizes.execs, inFlight }));
    await inParallel(vms.length, 4, async (number) => {
      await home.client.operate("vm.delete", { vm: (vms[number] as VmRecord).id });
    });
    await home.assertEmpty();
  });

  test(`memory and open files after ${sizes.operations} operations`, async (context) => {
    // A daemon that has done nothing else before: what it grows by is of these.
    await home.ok(["daemon", "stop"]);
    await home.up();
    const running = await home.make("steady", true);
    await littleThings(home, running, sizes.warmUp);
    const [memory, files] = [await home.daemonMemoryBytes(), await home.daemonFiles()];
    await again(context, () => littleThings(home, running, sizes.operations));
    const grown = (await home.daemonMemoryBytes()) - memory;
    context.diagnostic(`the daemon grew by ${(grown / mib).toFixed(1)} MiB from ${(memory / mib).toFixed(1)} MiB`);
    const more = (await home.daemonFiles()) - files;
    await home.client.operate("vm.delete", { vm: running.id });
    await home.assertEmpty();
    // After few operations the heap has not found its size yet.
    if (soak) assert.ok(grown <= maxGrowthBytes, `${grown} bytes more`);
    assert.ok(more <= 4, `${more} more open files`);
  });

  test(`a list of ${sizes.records} records`, async (context) => {
    await home.make("original", false);
    const oneMs = await listMs(home, sizes.rounds);
    await home.ok(["daemon", "stop"]);
    multiplyRecords(home, sizes.records);
    await home.up();
    assert.equal((await home.client.call("vm.list", {})).vms.length, sizes.records);
    const manyMs = await listMs(home, sizes.rounds);
    await home.ok(["daemon", "stop"]);
    removeCopies(home);
    const ratio = manyMs / oneMs;
    context.diagnostic(
      `1 record ${oneMs.toFixed(0)} ms, ${sizes.records} ${manyMs.toFixed(0)} ms: ${ratio.toFixed(2)} times`,
    );
    if (soak) assert.ok(ratio <= maxListRatio, `${ratio} times`);
  });
});
