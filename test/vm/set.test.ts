// Other CPUs, memory and disk sizes for VMs that exist: disks grow under a running guest, the rest waits for a start.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ResultOf } from "../../src/api/methods.ts";
import type { VmRecord } from "../../src/api/records.ts";
import { finished, Home, smallVm } from "../support/home.ts";
import { until } from "../support/until.ts";

const mib = 1024 ** 2;

describe("sizes of a VM", { concurrency: false }, () => {
  let home: Home;
  before(async () => {
    home = new Home({ seeded: true });
    await home.ok(["vm", "create", "--name", "box", ...smallVm]);
  });
  after(() => home[Symbol.asyncDispose]());

  const show = (vm: string) => home.json<VmRecord>(["vm", "show", vm]);
  const inVm = async (vm: string, script: string) =>
    (await home.ok(["vm", "exec", vm, "--", "sh", "-c", script])).stdout.trim();
  /** Sizes of the file systems on / and on /root, in MiB. */
  const sizes = async (vm: string) =>
    (await inVm(vm, "df -B1M --output=size / /root")).split("\n").slice(1).map(Number) as [number, number];
  const checkDisks = async (vm: string) => {
    const { dir } = await show(vm);
    const disks = readdirSync(dir).filter((name) => name.endsWith(".ext4"));
    assert.equal(disks.length, 2);
    for (const disk of disks) execFileSync("e2fsck", ["-fn", join(dir, disk)], { stdio: "pipe" });
  };

  test("disks grow at once while files are written, far beyond what their file systems had in mind; never shrink", async () => {
    const writer = home.start([
      "vm",
      "exec",
      "box",
      "--",
      "sh",
      "-c",
      "echo on; while :; do date >>/root/log; sync; done",
    ]);
    await new Promise<void>((resolve) => writer.stdout?.once("data", () => resolve()));
    const grow = ["vm", "set", "box", "--disk-size", "3G", "--system-overlay-size", "600M"];
    const [done] = await home.json<ResultOf<"vm.set">[]>(grow);
    assert.deepEqual([done?.atNextStart, done?.vm.spec.diskBytes], [[], 3072 * mib]);
    const [system, work] = await sizes("box");
    assert.ok(system > 500 && work > 2800, `${system} ${work}`);
    const ended = finished(writer);
    writer.kill("SIGINT");
    await ended;
    await inVm("box", "head -c 500M /dev/zero >/root/large; sync");
    const less = await home.run(["vm", "set", "box", "--disk-size", "2G"]);
    assert.match(less.stderr, /--disk-size 2\.0 GiB is less than the 3\.0 GiB that VM "box" has: disks cannot be made/);
    assert.equal((await show("box")).spec.diskBytes, 3072 * mib);
    const nothing = await home.run(["vm", "set", "box"]);
    assert.deepEqual([nothing.code, /say what to change/.test(nothing.stderr)], [2, true]);
    assert.match((await home.run(["vm", "set", "box", "--vcpu", "0"])).stderr, /vm\.spec-invalid/);
  });

  test("CPUs and memory wait for a start; until then a pause and a fork go by what the machine has", async () => {
    await home.ok(["vm", "exec", "box", "--", "sh", "-c", "sleep 100000 >/dev/null 2>&1 & echo $! >/root/pid"]);
    const set = await home.ok(["vm", "set", "box", "--vcpu", "2", "--memory", "300M"]);
    assert.match(set.stderr, /box: 2 vcpu, 300 MiB: takes effect at the next start\nnext: banger vm restart box/);
    const { spec, lastStart } = await show("box");
    assert.deepEqual([spec.vcpus, spec.memoryMib, lastStart?.machine], [2, 300, { vcpus: 1, memoryMib: 256 }]);
    await home.ok(["vm", "pause", "box"]);
    const paused = await home.run(["vm", "set", "box", "--disk-size", "4G"]);
    assert.match(paused.stderr, /VM "box" is paused.*\(vm\.wrong-state\)\nbanger: hint: banger vm resume box/);
    await home.ok(["vm", "resume", "box"]);
    assert.equal(await inVm("box", "kill -0 $(cat /root/pid) && nproc"), "1");
    await home.ok(["vm", "snapshot", "create", "box", "small"]);
    await home.ok(["vm", "fork", "small", "--name", "kid"]);
    assert.equal(await inVm("kid", "kill -0 $(cat /root/pid) && nproc"), "1");
    assert.deepEqual((await show("kid")).spec, { ...spec, vcpus: 1, memoryMib: 256 });
    await home.ok(["vm", "delete", "kid"]);
  });

  test("above a snapshot only the VM's own layer grows; a restore brings sizes, CPUs and memory back", async () => {
    await home.ok(["vm", "set", "box", "--disk-size", "4G"]);
    await inVm("box", "head -c 100M /dev/zero >/root/more; sync");
    await home.ok(["vm", "stop", "box"]);
    await home.ok(["vm", "set", "box", "--disk-size", "5G", "--memory", "256M"]);
    await home.ok(["vm", "start", "box"]);
    assert.ok((await sizes("box"))[1] > 4600);
    assert.equal(await inVm("box", "nproc; stat -c %s /root/more"), `2\n${100 * mib}`);
    await home.ok(["vm", "restore", "box", "small"]);
    const { spec } = await show("box");
    assert.deepEqual([spec.vcpus, spec.memoryMib, spec.diskBytes], [1, 256, 3072 * mib]);
    assert.equal(await inVm("box", "kill -0 $(cat /root/pid) && nproc"), "1");
    assert.ok((await sizes("box"))[1] < 3100);
    await home.ok(["vm", "delete", "box"]);
  });

  test("a VM that was never started gets its disks in the new size; one that is stopped grows at its start", async () => {
    await home.ok(["vm", "create", "--no-start", "--name", "late", ...smallVm]);
    await home.ok(["vm", "set", "late", "--system-overlay-size", "300M"]);
    await home.ok(["vm", "start", "late"]);
    assert.ok((await sizes("late"))[0] > 200);
    await home.ok(["vm", "stop", "late"]);
    await home.ok(["vm", "set", "late", "--disk-size", "1G"]);
    await home.ok(["vm", "start", "late"]);
    assert.ok((await sizes("late"))[1] > 900);
    await home.ok(["vm", "stop", "late"]);
    await checkDisks("late");
    await home.ok(["vm", "start", "late"]);
  });

  test("a daemon that is killed meanwhile leaves a VM that runs, and the same call does the rest", async () => {
    for (let sizeMib = 1100; sizeMib <= 1300; sizeMib += 100) {
      const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
      const cut = home.start(["vm", "set", "late", "--disk-size", `${sizeMib}M`]);
      const ended = finished(cut);
      if (sizeMib === 1200) await new Promise<void>((resolve) => cut.stderr?.once("data", () => resolve()));
      else if (sizeMib === 1300)
        await until("a larger disk", async () => (await diskMib("late")) >= sizeMib || undefined);
      process.kill(pid, "SIGKILL");
      await ended;
      assert.equal(await inVm("late", "echo there"), "there");
      const [again] = await home.json<ResultOf<"vm.set">[]>(["vm", "set", "late", "--disk-size", `${sizeMib}M`]);
      assert.deepEqual(again?.atNextStart, []);
      assert.ok((await sizes("late"))[1] > sizeMib * 0.9);
    }
    await home.ok(["vm", "stop", "late"]);
    await checkDisks("late");
  });

  /** Of the file, which the daemon is not asked for. */
  async function diskMib(vm: string): Promise<number> {
    const dirs = readdirSync(join(home.path, "state/vms"));
    assert.equal(dirs.length, 1, vm);
    return Number(execFileSync("stat", ["-c", "%s", join(home.path, "state/vms", dirs[0] ?? "", "work.ext4")])) / mib;
  }
});
