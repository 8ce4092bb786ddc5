// The QEMU driver with real machines: start, find again, every way to end, and that nothing is left.
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { getPriority } from "node:os";
import { join } from "node:path";
import { describe } from "node:test";
import { BangerError } from "../../src/lib/errors.ts";
import { createLogger } from "../../src/lib/log.ts";
import { benchTest, booted, failure, runtimeFiles } from "../support/qemu-bench.ts";

const signal = new AbortController().signal;

/** The scheduler's class for what runs only when nothing else wants to, as the kernel numbers it. */
const schedIdle = 5;

describe("the QEMU driver", { concurrency: false }, () => {
  benchTest("starts a machine that boots, with private files, and ends it", async (bench) => {
    const spec = bench.spec("wait", { vcpus: 2 });
    const machine = await bench.driver.launch(spec, { signal });
    await using _ = machine;
    assert.deepEqual(runtimeFiles(spec.dir).toSorted(), ["agent.sock", "net.sock", "qmp.sock", "vmm.json"]);
    for (const name of readdirSync(spec.dir)) {
      assert.equal(statSync(join(spec.dir, name)).mode & 0o077, 0, `${name} is open to others`);
    }
    assert.deepEqual(await bench.driver.list(bench.homeId), new Map([[spec.vmId, machine.pid]]));
    await booted(spec);
    const stats = await machine.stats();
    assert.ok(stats.residentBytes > 10_000_000 && stats.cpuMs > 0, JSON.stringify(stats));
    await machine.pause();
    await machine.resume();
    const channel = await machine.controlChannel({ signal });
    channel.destroy();

    await machine.kill();
    await machine.kill();
    assert.deepEqual(await machine.exited, { reason: "the daemon ended the VMM", expected: true });
    assert.deepEqual(runtimeFiles(spec.dir), []);
    assert.deepEqual(await bench.driver.list(bench.homeId), new Map());
    assert.equal((await failure(machine.controlChannel({ signal }))).code, "guest.unreachable");
    assert.equal((await failure(machine.stats())).code, "vm.wrong-state");
    assert.equal((await failure(machine.pause())).code, "vmm.failed");
  });

  benchTest("a guest that powers off, and one whose kernel panics, end with their reasons", async (bench) => {
    for (const [init, expected] of [
      ["power-off", { reason: "the guest powered off", expected: true }],
      ["none", { reason: "the guest restarted: a reboot or a kernel panic, see its console", expected: false }],
    ] as const) {
      const spec = bench.spec(init);
      await using machine = await bench.driver.launch(spec, { signal });
      assert.deepEqual(
        await machine.exited,
        expected,
        readFileSync(join(spec.dir, "console.log"), "utf8").slice(-2000),
      );
      assert.deepEqual(runtimeFiles(spec.dir), []);
    }
  });

  benchTest("a VMM that is killed from outside ends with that reason", async (bench) => {
    await using machine = await bench.driver.launch(bench.spec("wait"), { signal });
    process.kill(machine.pid, "SIGKILL");
    assert.deepEqual(await machine.exited, { reason: "the VMM was killed by SIGKILL", expected: false });
  });

  benchTest("a new driver finds the machine of a former one, follows and ends it", async (bench) => {
    const spec = bench.spec("wait");
    const first = await bench.driver.launch(spec, { signal });
    const { pid } = first;
    await first[Symbol.asyncDispose]();

    const second = await bench.newDriver().find(spec.vmId, spec.dir, { signal });
    assert.equal(second?.pid, pid);
    await second.pause();
    await second.resume();
    await second[Symbol.asyncDispose]();

    await using third = await bench.newDriver().find(spec.vmId, spec.dir, { signal });
    assert.ok(third);
    process.kill(pid, "SIGKILL");
    assert.deepEqual(await third.exited, { reason: "the VMM process is gone", expected: false });
    assert.deepEqual(runtimeFiles(spec.dir), []);
    assert.equal(await bench.driver.find(spec.vmId, spec.dir, { signal }), undefined);
  });

  benchTest("a found machine whose guest powers off says so", async (bench) => {
    const spec = bench.spec("power-off");
    const first = await bench.driver.launch(spec, { signal });
    await first.pause();
    await first[Symbol.asyncDispose]();
    await using found = await bench.newDriver().find(spec.vmId, spec.dir, { signal });
    await found?.resume();
    assert.deepEqual(await found?.exited, { reason: "the guest powered off", expected: true });
  });

  benchTest("a machine that stands still is found, killed and gone", async (bench) => {
    const spec = bench.spec("wait");
    const first = await bench.driver.launch(spec, { signal });
    await first[Symbol.asyncDispose]();
    process.kill(first.pid, "SIGSTOP");
    await using found = await bench.newDriver().find(spec.vmId, spec.dir, { signal });
    assert.equal(found?.pid, first.pid);
    await found.kill();
    assert.equal((await found.exited).expected, true);
    assert.deepEqual(runtimeFiles(spec.dir), []);
  });

  benchTest(
    "files of a machine that is gone, of another boot or of another process are not believed, and removed",
    async (bench) => {
      const spec = bench.spec("wait");
      await using machine = await bench.driver.launch(spec, { signal });
      const truth = JSON.parse(readFileSync(join(spec.dir, "vmm.json"), "utf8")) as Record<string, unknown>;
      for (const lie of [
        { hostBootId: "00000000-0000-0000-0000-000000000000" },
        { startTicks: 1 },
        { pid: process.pid },
        { marker: `banger-${bench.homeId}-ffffffffffff` },
      ]) {
        const other = join(bench.root, "other");
        mkdirSync(other, { mode: 0o700 });
        writeFileSync(join(other, "vmm.json"), JSON.stringify({ ...truth, ...lie }));
        writeFileSync(join(other, "qmp.sock"), "");
        assert.equal(await bench.driver.find(spec.vmId, other, { signal }), undefined, JSON.stringify(lie));
        assert.deepEqual(runtimeFiles(other), []);
        rmSync(other, { recursive: true });
      }
      assert.equal(existsSync(`/proc/${machine.pid}`), true);
      await machine.kill();
    },
  );

  benchTest("a machine whose files are gone is listed and ended by its pid, and no other process is", async (bench) => {
    const spec = bench.spec("wait");
    const machine = await bench.driver.launch(spec, { signal });
    await machine[Symbol.asyncDispose]();
    rmSync(spec.dir, { recursive: true });
    const [[vmId, pid] = ["", 0]] = await bench.driver.list(bench.homeId);
    assert.deepEqual([vmId, pid], [spec.vmId, machine.pid]);
    assert.deepEqual(await bench.driver.list("0000"), new Map());
    assert.equal((await failure(bench.driver.killOrphan("ffffffffffff", bench.homeId, pid))).code, "vmm.failed");
    assert.equal((await failure(bench.driver.killOrphan(vmId, bench.homeId, process.pid))).code, "vmm.failed");
    assert.equal((await bench.driver.list(bench.homeId)).size, 1);
    await bench.driver.killOrphan(vmId, bench.homeId, pid);
    await bench.driver.killOrphan(vmId, bench.homeId, pid);
    assert.equal((await bench.driver.list(bench.homeId)).size, 0);
  });

  benchTest("runs in a directory far longer than a socket address, with commas in its name", async (bench) => {
    const dir = join(bench.root, "a,b".repeat(60), "c".repeat(120));
    const disk = join(dir, "work,1.ext4");
    const spec = bench.spec("wait", { dir, disks: [{ serial: "work", path: disk, readOnly: false, format: "raw" }] });
    writeFileSync(disk, "");
    truncateSync(disk, 1024 * 1024);
    const first = await bench.driver.launch(spec, { signal });
    await first[Symbol.asyncDispose]();
    await using found = await bench.driver.find(spec.vmId, dir, { signal });
    assert.ok(found);
    (await found.controlChannel({ signal })).destroy();
    await found.kill();
  });

  benchTest("a second machine of the same VM is refused, and the first one stays", async (bench) => {
    const spec = bench.spec("wait");
    await using machine = await bench.driver.launch(spec, { signal });
    const error = await failure(bench.driver.launch(spec, { signal }));
    assert.equal(error.code, "vmm.failed");
    assert.match(error.message, new RegExp(`runs already, pid ${machine.pid}`));
    assert.deepEqual(await bench.driver.list(bench.homeId), new Map([[spec.vmId, machine.pid]]));
    await machine.kill();
  });

  benchTest("a kernel that is not there: the error has the VMM's words, and nothing is left", async (bench) => {
    const spec = bench.spec("wait", { kernel: "/nonexistent/kernel" });
    const error = await failure(bench.driver.launch(spec, { signal }));
    assert.equal(error.code, "vmm.failed");
    assert.match(error.message, /did not start \(exit code 1\): .*could not .*\/nonexistent\/kernel/);
    assert.deepEqual(runtimeFiles(spec.dir), []);
  });

  benchTest("an abort during the start throws its reason and leaves nothing", async (bench) => {
    const spec = bench.spec("wait");
    const reason = new BangerError("cancelled", "no longer wanted");
    const cancel = new AbortController();
    const driver = bench.newDriver(
      createLogger("debug", (line) => {
        if (line.includes("VMM started")) cancel.abort(reason);
      }),
    );
    assert.equal(await failure(driver.launch(spec, { signal: cancel.signal })), reason);
    assert.deepEqual(runtimeFiles(spec.dir), []);
    assert.equal((await bench.driver.list(bench.homeId)).size, 0);
  });

  benchTest("a machine in the background leaves the processors to others, and no other machine does", async (bench) => {
    await using first = await bench.driver.launch(bench.spec("wait"), { signal, background: true });
    await using second = await bench.driver.launch(bench.spec("wait", { vmId: "second" }), { signal });
    const niceness = ({ pid }: { pid: number }) =>
      readdirSync(`/proc/${pid}/task`).map((thread) => getPriority(Number(thread)));
    const policies = ({ pid }: { pid: number }) =>
      readdirSync(`/proc/${pid}/task`).map((thread) => {
        const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[38]);
      });
    assert.deepEqual(new Set(policies(first)), new Set([schedIdle]));
    assert.deepEqual(new Set(policies(second)), new Set([0]));
    assert.deepEqual(new Set(niceness(first)), new Set([19]));
    assert.deepEqual(new Set(niceness(second)), new Set([getPriority()]));
    await first.kill();
    await second.kill();
  });

  benchTest("says which accelerator it uses", async (bench) => {
    const { accelerator, snapshots } = await bench.driver.features({ signal });
    assert.match(accelerator, /^(kvm|tcg)$/);
    assert.equal(snapshots, true);
  });
});
