// From create to delete with real VMs: state that lasts, fresh boots, several targets, references.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Home, smallVm } from "../support/home.ts";
import { isRunning } from "../support/processes.ts";

interface Vm {
  id: string;
  name: string;
  state: string;
  reason: string;
  bootId: string | null;
  pid: number | null;
  dir: string;
}

describe("life of a VM", { concurrency: false }, () => {
  let home: Home;
  before(() => {
    home = new Home({ seeded: true });
  });
  after(() => home[Symbol.asyncDispose]());
  const show = (name: string) => home.json<Vm>(["vm", "show", name]);
  const inGuest = async (name: string, script: string) =>
    (await home.ok(["vm", "exec", name, "--", "sh", "-c", script])).stdout;

  test("what is written to the root and to /root survives stop and start; restart is a fresh boot", async () => {
    await home.ok(["vm", "create", "--no-start", "--name", "web", ...smallVm]);
    assert.equal((await show("web")).state, "created");
    await home.ok(["vm", "start", "web"]);
    const first = await show("web");
    assert.equal(first.state, "running");
    assert.equal(
      await inGuest("web", "echo system > /etc/marker; echo work > /root/marker; cat /proc/sys/kernel/random/boot_id"),
      `${first.bootId}\n`,
    );
    await home.ok(["vm", "stop", "web"]);
    const stopped = await show("web");
    assert.deepEqual([stopped.state, stopped.reason, stopped.pid], ["stopped", "", null]);
    await home.ok(["vm", "start", "web"]);
    assert.equal(await inGuest("web", "cat /etc/marker /root/marker; hostname"), "system\nwork\nweb\n");
    const before = await show("web");
    await home.ok(["vm", "restart", "web"]);
    const restarted = await show("web");
    assert.notEqual(restarted.bootId, before.bootId);
    assert.equal(await inGuest("web", "cat /etc/marker"), "system\n");
  });

  test("the guest is what it says: fresh machine id, own hostname, disks by role, nothing of the initramfs", async () => {
    const seen = await inGuest(
      "web",
      "cat /etc/machine-id; findmnt -no FSTYPE /; findmnt -no SOURCE /root; cat /proc/1/comm; ls -d /lib/modules/banger 2>&1 || true; ip -o link | wc -l; id -u; date +%s",
    );
    const [machineId, rootType, workSource, , initramfs, links, uid, now] = seen.split("\n");
    assert.match(machineId ?? "", /^[0-9a-f]{32}$/);
    assert.equal(rootType, "overlay");
    assert.match(workSource ?? "", /^\/dev\/vd[a-c]$/);
    assert.match(initramfs ?? "", /No such file/);
    assert.equal(links, "1");
    assert.equal(uid, "0");
    assert.ok(Math.abs(Number(now) - Date.now() / 1000) < 30, `the guest's clock is off: ${now}`);
  });

  test("a process may open many files, and links in shared directories are guarded", async () => {
    const seen = await inGuest(
      "web",
      "ulimit -Sn; ulimit -Hn; cat /proc/sys/fs/protected_hardlinks /proc/sys/fs/protected_symlinks",
    );
    assert.equal(seen, "1024\n524288\n1\n1\n");
  });

  test("kill ends it at once and leaves it stopped; a clean power-off from inside is told", async () => {
    await home.ok(["vm", "kill", "web"]);
    assert.deepEqual([(await show("web")).state, (await show("web")).reason], ["stopped", ""]);
    await home.ok(["vm", "start", "web"]);
    assert.equal(await inGuest("web", "cat /etc/marker"), "system\n");
  });

  test("several targets at once: valid ones are done, the missing one is an error", async () => {
    await home.ok(["vm", "create", "--no-start", "--name", "one", ...smallVm]);
    await home.ok(["vm", "create", "--no-start", "--name", "two", ...smallVm]);
    const ran = await home.run(["vm", "delete", "one", "nope", "two", "one"]);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /nope/);
    const vms = await home.vms();
    assert.deepEqual(
      vms.map((vm) => vm.name),
      ["web"],
    );
  });

  test("id and unambiguous prefix are references; an ambiguous one is refused", async () => {
    const { id } = await show("web");
    assert.equal((await show(id)).name, "web");
    assert.equal((await show("we")).name, "web");
    await home.ok(["vm", "create", "--no-start", "--name", "web-2", ...smallVm]);
    const ambiguous = await home.run(["vm", "show", "we"]);
    assert.equal(ambiguous.code, 1);
    assert.match(ambiguous.stderr, /vm\.ambiguous/);
  });

  test("logs show the console; lists show names; an image in use is not deleted", async () => {
    await inGuest("web", "echo said on the console > /dev/console");
    assert.match((await home.ok(["vm", "logs", "web"])).stdout, /said on the console/);
    const { stdout } = await home.ok(["ps"]);
    assert.match(stdout, /NAME.*STATE/);
    assert.match(stdout, /web .*running/);
    assert.doesNotMatch(stdout, /web-2/);
    const refused = await home.run(["image", "delete", "debian-bookworm"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /image\.in-use/);
    assert.match(refused.stderr, /web/);
  });

  test("delete removes a running VM, its process and its files", async () => {
    const { dir, pid } = await show("web");
    assert.ok(pid !== null);
    await home.ok(["vm", "delete", "web", "web-2"]);
    assert.equal(existsSync(dir), false);
    assert.equal(isRunning(pid), false);
    assert.deepEqual(await home.vms(), []);
  });
});
