// A daemon may end at any instant: running VMs go on and are found again, what has no record is ended, old pid files are not believed.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { Home, smallVm } from "../support/home.ts";
import { isRunning } from "../support/processes.ts";
import { until } from "../support/until.ts";

interface Vm {
  id: string;
  state: string;
  reason: string;
  bootId: string | null;
  pid: number | null;
  dir: string;
}

describe("daemon restart", { concurrency: false }, () => {
  let home: Home;
  before(async () => {
    home = new Home({ seeded: true });
    await home.ok(["vm", "create", "--name", "web", ...smallVm]);
  });
  after(() => home[Symbol.asyncDispose]());
  const show = () => home.json<Vm>(["vm", "show", "web"]);
  const daemonPid = async () => (await home.json<{ pid: number }>(["daemon", "status"])).pid;
  const bootId = async () =>
    (await home.ok(["vm", "exec", "web", "--", "cat", "/proc/sys/kernel/random/boot_id"])).stdout.trim();
  const gone = (pid: number) => until(`process ${pid} to be gone`, () => (isRunning(pid) ? undefined : true));

  test("after a clean stop the VM runs on and is found again", async () => {
    const before = await show();
    const pid = await daemonPid();
    await home.ok(["daemon", "stop"]);
    await gone(pid);
    assert.ok(isRunning(before.pid ?? 0), "the VMM ended with the daemon");
    assert.equal(await bootId(), before.bootId);
    assert.deepEqual([(await show()).pid, (await show()).state], [before.pid, "running"]);
    assert.notEqual(await daemonPid(), pid);
  });

  test("after kill -9, in the middle of an exec, too", async () => {
    const before = await show();
    const pid = await daemonPid();
    const busy = home.start(["vm", "exec", "web", "--", "sh", "-c", "echo started; exec sleep 1000"]);
    await new Promise<void>((resolve) => busy.stdout?.once("data", () => resolve()));
    process.kill(pid, "SIGKILL");
    await new Promise((resolve) => busy.once("close", resolve));
    await gone(pid);
    assert.equal(await bootId(), before.bootId);
    await until("the cut exec's process to be gone in the guest", async () => {
      const { stdout } = await home.ok(["vm", "exec", "web", "--", "sh", "-c", "pgrep -x sleep || true"]);
      return stdout === "" ? true : undefined;
    });
  });

  test("a pid file of another boot of the host is not believed, and its process is left alone", async () => {
    const { pid, dir } = await show();
    await home.ok(["daemon", "stop"]);
    process.kill(pid ?? 0, "SIGKILL");
    await gone(pid ?? 0);
    const file = join(dir, "vmm.json");
    const identity = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    writeFileSync(
      file,
      JSON.stringify({ ...identity, pid: process.pid, bootId: "00000000-0000-0000-0000-000000000000" }),
    );
    const now = await show();
    assert.equal(now.state, "stopped");
    assert.match(now.reason, /gone when the daemon started/);
    await home.ok(["vm", "start", "web"]);
    assert.equal((await show()).state, "running");
  });

  test("a VMM without a record is ended, a directory without a record is removed", async () => {
    const { id, pid, dir } = await show();
    await home.ok(["daemon", "stop"]);
    const database = new DatabaseSync(join(home.path, "state/banger.db"));
    database.prepare("DELETE FROM vms WHERE id = ?").run(id);
    database.close();
    const stray = join(home.path, "state/vms/ffffffffffff");
    mkdirSync(stray);
    assert.deepEqual(await home.vms(), []);
    await gone(pid ?? 0);
    assert.equal(existsSync(dir), false);
    assert.equal(existsSync(stray), false);
  });
});
