// Snapshots of real VMs: kept, gone back to, started from; and a daemon that is killed while one is taken.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { SnapshotRecord, VmRecord } from "../../src/api/records.ts";
import { finished, Home, smallVm } from "../support/home.ts";
import { until } from "../support/until.ts";

describe("snapshots", { concurrency: false }, () => {
  let home: Home;
  before(() => {
    home = new Home({ seeded: true });
  });
  after(() => home[Symbol.asyncDispose]());

  const exec = async (vm: string, script: string) =>
    (await home.ok(["vm", "exec", vm, "--", "sh", "-c", script])).stdout.trim();
  const list = () => home.json<SnapshotRecord[]>(["vm", "snapshot", "list"]);
  const snapshotDirs = () => readdirSync(join(home.path, "state/snapshots"));
  const vm = (name: string) => home.json<VmRecord>(["vm", "show", name]);

  test("a VM goes back to a snapshot, with memory and disks, and stays itself", async () => {
    await home.ok(["vm", "create", "--name", "box", ...smallVm]);
    const known = () => home.run(["vm", "exec", "box", "--", "cat", "/etc/machine-id"]);
    const before = await vm("box");
    await exec("box", "echo one > /root/f; echo one > /etc/f; echo one > /dev/shm/f");
    const { stdout: machineId } = await known();
    await home.ok(["vm", "snapshot", "create", "box", "first"]);
    await exec("box", "echo two > /root/f; rm /etc/f; rm /dev/shm/f");
    const second = await home.json<SnapshotRecord>(["vm", "snapshot", "create", "box"]);
    assert.deepEqual([second.name, second.memory, second.usedBy], ["box-1", true, ["box"]]);
    await home.ok(["vm", "restore", "box", "first"]);
    assert.equal(await exec("box", "cat /root/f /etc/f /dev/shm/f"), "one\none\none");
    const now = await vm("box");
    assert.deepEqual([now.id, now.state, now.lastStart?.kind], [before.id, "running", "snapshot"]);
    assert.equal((await known()).stdout, machineId);
    // And forward again, to what only the other one knows.
    await home.ok(["vm", "restore", "box", "box-1"]);
    assert.equal(await exec("box", "cat /root/f; ls /etc/f /dev/shm/f 2>/dev/null; true"), "two");
    const other = await home.run(["image", "delete", "debian-bookworm"]);
    assert.match(other.stderr, /is used by VM "box" and snapshot "box-1", "first"/);
  });

  test("a stopped VM's snapshot has its disks only", async () => {
    await home.ok(["vm", "stop", "box"]);
    const rest = await home.json<SnapshotRecord>(["vm", "snapshot", "create", "box", "rest"]);
    assert.equal(rest.memory, false);
    await home.ok(["vm", "start", "box"]);
    await exec("box", "echo three > /root/f");
    await home.ok(["vm", "restore", "box", "rest"]);
    assert.equal((await vm("box")).state, "stopped");
    await home.ok(["vm", "start", "box"]);
    assert.equal(await exec("box", "cat /root/f"), "two");
  });

  test("a paused VM is forked as it was paused, and goes on itself", async () => {
    await exec("box", "echo paused > /dev/shm/f");
    await home.ok(["vm", "pause", "box"]);
    await home.ok(["vm", "fork", "box", "--name", "kid"]);
    assert.equal(await exec("kid", "cat /dev/shm/f; hostname"), "paused\nkid");
    await home.ok(["vm", "resume", "box"]);
    assert.equal(await exec("box", "cat /dev/shm/f; hostname"), "paused\nbox");
    await home.ok(["vm", "delete", "kid"]);
  });

  test("what a deleted snapshot leaves goes with the last VM above it", async () => {
    await home.ok(["vm", "fork", "first", "--name", "kid"]);
    for (const { name } of await list()) await home.ok(["vm", "snapshot", "delete", name]);
    assert.deepEqual(await list(), []);
    const left = snapshotDirs().flatMap((id) => readdirSync(join(home.path, "state/snapshots", id)));
    assert.ok(left.length > 0 && left.every((file) => /^(?:overlay|work)\.(?:ext4|qcow2)$/.test(file)), left.join());
    assert.equal(await exec("kid", "cat /root/f"), "one");
    await home.ok(["vm", "delete", "kid", "box"]);
    assert.deepEqual(snapshotDirs(), []);
  });

  test("a run goes on from an image that was warmed up", async () => {
    const command = ["sh", "-c", "echo up > /dev/shm/service; echo $WHO > /root/who"];
    await home.ok([
      "image",
      "warm",
      "debian-bookworm",
      "--name",
      "ready",
      "-e",
      "WHO=me",
      ...smallVm,
      "--",
      ...command,
    ]);
    assert.deepEqual(
      (await list()).map((each) => [each.name, each.warm, each.memory, each.usedBy]),
      [["ready", true, true, []]],
    );
    assert.deepEqual(await home.vms(), []);
    const run = await home.ok([
      ...["vm", "run", "--rm", "--warm-from", "ready", "--", "cat", "/dev/shm/service", "/root/who"],
    ]);
    assert.equal(run.stdout, "up\nme\n");
    const failed = await home.run([
      "image",
      "warm",
      "debian-bookworm",
      ...smallVm,
      "--",
      "sh",
      "-c",
      "echo no luck; exit 3",
    ]);
    assert.match(failed.stderr, /"sh" ended with status 3; its output ends with:\s+no luck \(?/);
    assert.deepEqual(await home.vms(), []);
    await home.ok(["vm", "snapshot", "delete", "ready"]);
    assert.deepEqual(snapshotDirs(), []);
  });

  /** The source runs and counts on; nothing else does, and no file lies about that no record names. */
  async function assertTidy(counted: number): Promise<number> {
    const now = Number(await exec("source", "cat /dev/shm/count"));
    assert.ok(now >= counted, `the count went from ${counted} to ${now}`);
    await until("the counter to go on", async () =>
      Number(await exec("source", "cat /dev/shm/count")) > now ? true : undefined,
    );
    const vms = await home.vms();
    assert.deepEqual(
      vms.map(({ name, state }) => [name, state]),
      [["source", "running"]],
    );
    const [source] = vms;
    assert.ok(source);
    assert.deepEqual(
      home
        .processes()
        .filter(({ command }) => command.includes("qemu-system"))
        .map(({ pid }) => pid),
      [source.pid],
    );
    assert.deepEqual(readdirSync(join(home.path, "state/vms")), [source.id]);
    const disks = readdirSync(source.dir).filter((file) => /^(?:overlay|work)/.test(file));
    assert.equal(disks.length, 2, disks.join());
    const listed = new Map((await list()).map((each) => [each.id, each]));
    for (const id of snapshotDirs()) {
      const files = readdirSync(join(home.path, "state/snapshots", id)).toSorted();
      const memory = ["memory.img", "state.bin"].filter((file) => files.includes(file));
      assert.equal(memory.length, listed.get(id)?.memory === true ? 2 : 0, `${id}: ${files.join()}`);
      const rest = files.filter((file) => !memory.includes(file));
      assert.match(rest.join(), /^overlay\.(?:ext4|qcow2),work\.(?:ext4|qcow2)$/);
    }
    assert.deepEqual(readFileSync(join(source.dir, "known_hosts"), "utf8").split(" ")[0], `banger-${source.id}`);
    return now;
  }

  for (const [what, args] of [
    ["a snapshot is taken", ["vm", "snapshot", "create", "source"]],
    ["a VM is forked", ["vm", "fork", "source", "--count", "2"]],
  ] as const) {
    test(`the daemon is killed at any point while ${what}`, async () => {
      await home.ok(["vm", "create", "--name", "source", ...smallVm]);
      await exec(
        "source",
        "setsid sh -c 'i=0; while :; do i=$((i+1)); echo $i > /dev/shm/next; mv /dev/shm/next /dev/shm/count; sync; done' </dev/null >/dev/null 2>&1 &",
      );
      await until("the counter to count", async () =>
        Number(await exec("source", "cat /dev/shm/count")) > 0 ? true : undefined,
      );
      let counted = 0;
      for (let round = 0; round < 8; round++) {
        const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
        const child = home.start([...args, "--json"]);
        const ended = finished(child);
        // Where in its work this hits the daemon differs from round to round, and from machine to machine.
        await delay(150 + round * 150);
        process.kill(pid, "SIGKILL");
        const { code, stdout } = await ended;
        // All of them or none: they may be there although nobody could be told any more.
        const forks = (await home.vms()).filter(({ name }) => name !== "source").map(({ name }) => name);
        if (args[1] === "fork" && (code === 0 || forks.length > 0)) {
          if (code === 0) assert.equal((JSON.parse(stdout) as { vms: unknown[] }).vms.length, 2);
          assert.equal(forks.length, 2, forks.join());
          for (const fork of forks) assert.ok(Number(await exec(fork, "cat /dev/shm/count")) > 0);
          await home.ok(["vm", "delete", ...forks]);
        }
        counted = await assertTidy(counted);
      }
      for (const { name } of await list()) await home.ok(["vm", "snapshot", "delete", name]);
      await home.ok(["vm", "restart", "source"]);
      await home.ok(["vm", "delete", "source"]);
      assert.deepEqual(snapshotDirs(), []);
    });
  }
});
