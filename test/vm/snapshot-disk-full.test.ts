// A disk that gets full while memory and disks of a VM are kept: the error says so, the VM goes on as it was, nothing half made
// can be seen or stays, and it works once there is room.
import assert from "node:assert/strict";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { SnapshotRecord, TemplateRecord, VmRecord } from "../../src/api/records.ts";
import { finished, type Ran, smallVm } from "../support/home.ts";
import { SmallDiskHome } from "../support/small-disk-home.ts";
import { stageSeen } from "../support/stages.ts";

const mib = 1024 * 1024;
/** From nothing at all, by way of what is enough for records and layers, to a part of the memory. */
const rooms = [0, 200_000, 2 * mib, 24 * mib];

function isDiskFull(ran: Ran): void {
  assert.equal(ran.code, 1, `${ran.stdout}${ran.stderr}`);
  assert.match(ran.stderr, /\(disk\.full\)/);
  assert.match(ran.stderr, /hint: /);
}

describe("snapshots, forks and pauses on a full disk", { concurrency: false }, () => {
  let home: SmallDiskHome;
  let daemon: number;
  let bootId: string | null;

  const show = () => home.json<VmRecord>(["vm", "show", "web"]);
  const inGuest = async (script: string) =>
    (await home.ok(["vm", "exec", "web", "--", "sh", "-c", script])).stdout.trim();
  const snapshots = () => home.json<SnapshotRecord[]>(["vm", "snapshot", "list"]);
  const kept = () =>
    readdirSync(join(home.files, "state/snapshots"), { recursive: true })
      .map(String)
      .filter((path) => /memory\.img|state\.bin/.test(path));
  const pausedFiles = (vm: VmRecord) =>
    readdirSync(join(home.files, "state/vms", vm.id)).filter((name) => /^paused|\.new$|\.tmp$/.test(name));

  /** The VM runs, has not been booted again, and its processes and disks are there. */
  const isUnharmed = async () => {
    const vm = await show();
    assert.deepEqual([vm.state, vm.reason, vm.bootId], ["running", "", bootId]);
    assert.deepEqual(pausedFiles(vm), []);
    assert.equal(await inGuest("kill -0 $(cat /run/keeper) && echo more >> /root/log && sync && echo fine"), "fine");
    assert.equal((await home.json<{ pid: number }>(["daemon", "status"])).pid, daemon);
  };

  /** With each amount of room `verb` fails and leaves nothing; the VM runs on. */
  const doesNotFit = async (...verb: string[]) => {
    const [freeBefore, keptBefore] = [home.free(), kept()];
    for (const room of rooms) {
      // What the guest still had to write would not find room either, and it would be the guest that stands still.
      await inGuest("sync");
      {
        using _filler = await home.fill(room);
        isDiskFull(await home.run(verb));
      }
      await isUnharmed();
      assert.deepEqual(kept(), keptBefore);
      assert.deepEqual(
        (await home.vms()).map(({ name }) => name),
        ["web"],
      );
    }
    assert.ok(freeBefore - home.free() < 4 * mib, `${freeBefore - home.free()} bytes were not given back`);
  };

  before(async () => {
    home = await SmallDiskHome.make({ seeded: true, sizeMib: 700, fileSystem: "ext4" });
    // A template that is made in the background would take room at any moment.
    writeFileSync(join(home.files, "config.toml"), "[templates]\nenabled = false\n");
    await home.ok(["vm", "create", "--name", "web", ...smallVm]);
    await inGuest("setsid sleep 1000000 < /dev/null > /dev/null 2>&1 & echo $! > /run/keeper; echo first > /root/log");
    ({ bootId } = await show());
    daemon = (await home.json<{ pid: number }>(["daemon", "status"])).pid;
  });
  after(() => home[Symbol.asyncDispose]());

  test("a snapshot that does not fit", async () => {
    await doesNotFit("vm", "snapshot", "create", "web", "good");
    assert.deepEqual(await snapshots(), []);
    const free = home.free();
    await home.ok(["vm", "snapshot", "create", "web", "good"]);
    assert.deepEqual(
      (await snapshots()).map(({ name, memory }) => [name, memory]),
      [["good", true]],
    );
    await isUnharmed();
    assert.ok(free - home.free() > 24 * mib, "its memory takes no room");
  });

  test("a fork that does not fit", async () => {
    await doesNotFit("vm", "fork", "web", "--name", "copy");
    await doesNotFit("vm", "fork", "web", "--name", "copy", "--count", "2");
    assert.deepEqual(
      (await snapshots()).map(({ name }) => name),
      ["good"],
    );
  });

  test("no room to go back to a snapshot: it can be gone back to when there is", async () => {
    await inGuest("echo lost > /root/lost && sync");
    {
      using _filler = await home.fill(0);
      isDiskFull(await home.run(["vm", "restore", "web", "good"]));
    }
    assert.deepEqual(
      (await snapshots()).map(({ name }) => name),
      ["good"],
    );
    await home.ok(["vm", "restore", "web", "good"]);
    // The same processes, but told apart from those that were there before.
    ({ bootId } = await show());
    await isUnharmed();
    assert.equal(await inGuest("head -n 1 /root/log; ls /root"), "first\nlog");
  });

  test("a snapshot's room comes back with its end", async () => {
    const free = home.free();
    await home.ok(["vm", "snapshot", "create", "web", "other"]);
    assert.ok(free - home.free() > 24 * mib, "its memory takes no room");
    await home.ok(["vm", "snapshot", "delete", "other"]);
    assert.ok(free - home.free() < 4 * mib, `${free - home.free()} bytes were not given back`);
    // The VM still maps the memory of this one.
    await home.ok(["vm", "snapshot", "delete", "good"]);
    assert.deepEqual([await snapshots(), kept()], [[], []]);
    await isUnharmed();
  });

  test("a pause that does not fit", async () => {
    await doesNotFit("vm", "pause", "web");
    await home.ok(["vm", "pause", "web"]);
    assert.deepEqual([(await show()).state, (await show()).pid], ["paused", null]);
  });

  test("a paused VM on a full disk waits until there is room", async () => {
    {
      using _filler = await home.fill(0);
      isDiskFull(await home.run(["vm", "snapshot", "create", "web", "paused"]));
      assert.equal((await show()).state, "paused");
      const resumed = await home.run(["vm", "resume", "web"]);
      // The database may have room left for what it notes.
      if (resumed.code !== 0) isDiskFull(resumed);
    }
    if ((await show()).state === "paused") await home.ok(["vm", "resume", "web"]);
    await isUnharmed();
    assert.deepEqual(await snapshots(), []);
  });
});

describe("memory templates on a full disk", { concurrency: false }, () => {
  let home: SmallDiskHome;
  const warm = ["template", "warm", "--memory", "256M", "--vcpu", "1"];
  const templates = () => home.json<TemplateRecord[]>(["template", "list"]);
  const files = () => {
    const directory = join(home.files, "cache/templates");
    return existsSync(directory) ? readdirSync(directory) : [];
  };
  before(async () => {
    home = await SmallDiskHome.make({ seeded: true, sizeMib: 300, fileSystem: "ext4" });
  });
  after(() => home[Symbol.asyncDispose]());

  test("one that may not fit is not begun", async () => {
    using _filler = await home.fill(100 * mib);
    isDiskFull(await home.run(warm));
    assert.deepEqual([await templates(), files()], [[], []]);
  });

  test("one that does not fit any more when it is captured leaves nothing, and is made when there is room", async () => {
    const free = home.free();
    {
      const warming = home.start(warm);
      const ended = finished(warming);
      await stageSeen(warming, "boot");
      using _filler = await home.fill(4 * mib);
      isDiskFull(await ended);
      assert.deepEqual([await templates(), files()], [[], []]);
    }
    assert.ok(free - home.free() < mib, `${free - home.free()} bytes were not given back`);
    await home.ok(warm);
    const [template, ...more] = await templates();
    assert.deepEqual([files(), more], [[template?.id], []]);
    assert.ok((template?.usedBytes ?? 0) > 4 * mib);
  });
});
