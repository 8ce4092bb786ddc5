// Room on the host: what system df counts is what lies there, and what prune says is what goes.
import assert from "node:assert/strict";
import { appendFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { DiskUse } from "../../src/api/system-methods.ts";
import type { ImageRecord, KernelRecord } from "../../src/api/records.ts";
import { Home, smallVm } from "../support/home.ts";

interface Pruned {
  removed: { kind: string; names: string[]; freedBytes: number }[];
  freedBytes: number;
}

test("df counts what is there; prune leaves what is in use, and --all what a VM needs", async () => {
  await using home = new Home({ seeded: true });
  await home.ok(["vm", "create", "--no-start", "--name", "web", ...smallVm]);
  const oldLog = join(home.path, "state/bangerd.log.1");
  appendFileSync(oldLog, "x".repeat(10_000));
  const use = async () => (await home.json<{ use: DiskUse[] }>(["system", "df"])).use;
  const row = async (kind: string) => (await use()).find((one) => one.kind === kind);
  const images = await home.json<ImageRecord[]>(["image", "list"]);
  assert.deepEqual(
    [(await row("vms"))?.count, (await row("images"))?.usedBytes, (await row("images"))?.inUse],
    [1, images.reduce((sum, { usedBytes }) => sum + usedBytes, 0), 1],
  );
  assert.match((await home.ok(["system", "df"])).stdout, /^WHAT +COUNT +IN USE +SIZE +FREEABLE\nvms +1 /);

  const dry = await home.json<Pruned>(["system", "prune", "--all", "--dry-run"]);
  assert.ok(existsSync(oldLog), "a dry run removed something");
  const done = await home.json<Pruned>(["system", "prune", "--all"]);
  assert.deepEqual(done.removed, dry.removed);
  assert.equal(existsSync(oldLog), false);
  const used = await home.json<ImageRecord[]>(["image", "list"]);
  assert.equal(used.length, 1, "the image of a VM is gone, or one of no VM is left");
  assert.equal((await home.json<KernelRecord[]>(["kernel", "list"])).length, 1);
  assert.equal((await row("images"))?.freeableBytes, 0);

  await home.ok(["vm", "delete", "web"]);
  const { removed } = await home.json<Pruned>(["system", "prune", "--all"]);
  assert.ok(removed.some(({ kind }) => kind === "images") && removed.some(({ kind }) => kind === "kernels"));
  assert.deepEqual(await home.json(["image", "list"]), []);
});
