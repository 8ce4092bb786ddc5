// The memory of forks of a VM that came out of a template: one alone maps the template's own; several at once have a file of theirs, and
// from the second time on that is the spare copy of the template's memory.
import assert from "node:assert/strict";
import { constants, copyFileSync, existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { VmRecord } from "../../src/api/records.ts";
import { Home, smallVm } from "../support/home.ts";
import { smallMachine } from "../support/seed.ts";
import { until } from "../support/until.ts";

test("forks have the template's memory, or a spare copy of it, as their own", async () => {
  await using home = new Home({ seeded: true });
  await home.ok(["template", "prune", "--all"]);
  await home.ok(["template", "warm", ...smallMachine]);
  const templates = join(home.path, "cache/templates");
  const template = join(templates, readdirSync(templates)[0] ?? assert.fail("no template"));
  const spare = join(template, "memory.img.spare");
  const inGuest = async (name: string, script: string) =>
    (await home.ok(["vm", "exec", name, "--", "sh", "-c", script])).stdout.trim();

  await home.ok(["vm", "create", "--name", "source", ...smallVm]);
  assert.ok(!existsSync(spare), "a start alone costs no disk");
  await inGuest("source", "echo one > /dev/shm/f");
  await home.ok(["vm", "fork", "source", "--name", "alone"]);
  await inGuest("source", "echo more > /dev/shm/f");
  const inodeOf = async (name: string) => memoryInode((await home.json<VmRecord>(["vm", "show", name])).pid);
  assert.equal(await inodeOf("alone"), statSync(join(template, "memory.img")).ino);
  assert.equal(await inGuest("alone", "cat /dev/shm/f"), "one");
  const snapshots = readdirSync(join(home.path, "state/snapshots"), { recursive: true }).map(String);
  assert.deepEqual(
    snapshots.filter((name) => /memory|state/.test(name)),
    [],
  );
  assert.ok(!existsSync(spare), "nothing was copied");

  await home.ok(["vm", "fork", "source", "--name", "first", "--count", "2"]);
  if (sharesBlocks(join(template, "memory.img"), join(home.path, "probe"))) {
    assert.ok(!existsSync(spare), "a copy costs nothing here");
    return;
  }
  const { ino } = await until("the spare copy", () => (existsSync(spare) ? statSync(spare) : undefined));
  await inGuest("source", "echo two > /dev/shm/f");
  await home.ok(["vm", "fork", "source", "--name", "second", "--count", "2"]);
  assert.deepEqual([await inodeOf("second-1"), await inodeOf("second-2")], [ino, ino]);
  assert.deepEqual(
    [await inGuest("first-1", "cat /dev/shm/f"), await inGuest("second-2", "cat /dev/shm/f")],
    ["more", "two"],
  );
  const next = await until("the next spare copy", () => (existsSync(spare) ? statSync(spare) : undefined));
  assert.notEqual(next.ino, ino);
  assert.equal(next.mode & 0o777, 0o600);
  assert.deepEqual(readFileSync(spare), readFileSync(join(template, "memory.img")));
});

function sharesBlocks(from: string, to: string): boolean {
  try {
    copyFileSync(from, to, constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch {
    return false;
  }
}

/** Of the file that a VMM maps as the memory of its guest, also when it was unlinked. */
function memoryInode(pid: number | null | undefined): number {
  const maps = readFileSync(`/proc/${pid}/maps`, "utf8");
  const [, inode] = / (\d+) +\S*\/memory\.img(?: \(deleted\))?$/m.exec(maps) ?? [];
  return Number(inode ?? assert.fail(`no memory file in ${maps}`));
}
