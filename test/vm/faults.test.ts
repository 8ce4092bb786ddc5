// Faults with real VMs: a clear error, a state that says what happened, and nothing left running.
import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { buildHostileAgent } from "../support/hostile-agent.ts";
import { finished, Home, smallVm } from "../support/home.ts";
import { isRunning } from "../support/processes.ts";
import { stageSeen } from "../support/stages.ts";
import { until } from "../support/until.ts";

const list = (home: Home) => home.vms();

describe("faults", { concurrency: false }, () => {
  test("a VMM that is killed from outside makes the VM stopped, with the reason", async () => {
    await using home = new Home({ seeded: true });
    await home.ok(["vm", "create", "--name", "web", ...smallVm]);
    const [vm] = await list(home);
    process.kill(vm?.pid ?? 0, "SIGKILL");
    const stopped = await until("the VM to be stopped", async () =>
      (await list(home)).find((now) => now.state === "stopped"),
    );
    assert.match(stopped.reason, /killed|gone/i);
    const refused = await home.run(["vm", "exec", "web", "--", "true"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /vm\.wrong-state/);
    assert.match(refused.stderr, /banger vm start web/);
    await home.ok(["vm", "start", "web"]);
    await home.ok(["vm", "exec", "web", "--", "true"]);
  });

  test("a home that is deleted takes its daemon and its VMs with it", async () => {
    await using home = new Home({ seeded: true });
    await home.ok(["vm", "create", "--name", "web", ...smallVm]);
    const pids = home.processes().map((one) => one.pid);
    assert.equal(pids.length, 2, "daemon and VMM");
    rmSync(home.path, { recursive: true });
    await until("daemon and VMM to end", () => (pids.some(isRunning) ? undefined : true));
  });

  test("a guest that powers itself off is stopped, with that reason", async () => {
    await using home = new Home({ seeded: true });
    await home.ok(["vm", "create", "--name", "web", ...smallVm]);
    await home.run(["vm", "exec", "web", "--", "sh", "-c", "echo o > /proc/sysrq-trigger; sleep 100"]);
    const stopped = await until("the VM to be stopped", async () =>
      (await list(home)).find((now) => now.state === "stopped"),
    );
    assert.match(stopped.reason, /powered off/);
  });

  test("a guest that never says Hello: the error says so, shows the console, and nothing runs", async () => {
    await using home = new Home({ seeded: true });
    writeFileSync(join(home.path, "config.toml"), "boot_timeout_s = 1\n");
    const ran = await home.run(["vm", "create", "--name", "slow", ...smallVm, "--cold", "--json"]);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /vm\.boot-timeout/);
    assert.match(ran.stderr, /did not say Hello within 1 s/);
    assert.match(ran.stderr, /console/);
    const [vm] = await list(home);
    assert.deepEqual([vm?.state, vm?.pid], ["stopped", null]);
    assert.deepEqual(
      home.processes().filter((one) => one.command.includes("qemu")),
      [],
    );
    const removed = await home.run(["vm", "run", "--rm", ...smallVm, "--cold", "--", "true"]);
    assert.equal(removed.code, 1);
    assert.equal((await list(home)).length, 1);
  });

  test("a guest that says Hello and then nothing: the start ends in time", async () => {
    await using home = new Home({ seeded: true });
    // Under emulation a guest is up within this; the same time again is what it gets to be configured.
    writeFileSync(join(home.path, "config.toml"), "boot_timeout_s = 9\n");
    const env = { BANGER_DEBUG_AGENT: buildHostileAgent("silent-after-handshake") };
    const ran = await home.run(["vm", "create", "--name", "mute", ...smallVm], { env });
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /was not configured within 9 s/);
    assert.match(ran.stderr, /\(vm\.boot-timeout\)/);
    const [vm] = await list(home);
    assert.deepEqual([vm?.state, vm?.pid], ["stopped", null]);
  });

  for (const mode of ["garbage", "endless", "endless-after-handshake"] as const) {
    test(`a guest that sends ${mode} is marked broken; the daemon lives and stays small`, async () => {
      await using home = new Home({ seeded: true });
      const env = { BANGER_DEBUG_AGENT: buildHostileAgent(mode) };
      const ran = await home.run(["vm", "create", "--name", "evil", ...smallVm, "--json"], { env });
      assert.equal(ran.code, 1);
      assert.match(ran.stderr, /guest\.protocol/);
      const [vm] = await list(home);
      assert.deepEqual([vm?.state, vm?.pid], ["broken", null]);
      const status = await home.json<{ residentBytes: number }>(["daemon", "status"]);
      assert.ok(status.residentBytes < 250 * 1024 * 1024, `the daemon grew to ${status.residentBytes} bytes`);
      await home.ok(["vm", "delete", "evil"]);
    });
  }

  test("a corrupt kernel file is refused and nothing is kept", async () => {
    await using home = new Home({ seeded: true });
    const directory = join(home.path, "bad-kernel");
    mkdirSync(directory);
    writeFileSync(join(directory, "vmlinuz"), "this is not a kernel");
    const ran = await home.run(["kernel", "import", directory, "--name", "bad"]);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /kernel\.invalid/);
    assert.doesNotMatch((await home.ok(["kernel", "list"])).stdout, /bad/);
  });

  for (const stage of ["boot", "restore", "configure", "ready"] as const) {
    test(`Ctrl-C at stage "${stage}": with --rm the VM is gone, without it is listed`, async () => {
      await using home = new Home({ seeded: true });
      for (const [args, left] of [
        [["--rm"], 0],
        [[], 1],
      ] as const) {
        const cold = stage === "boot" ? ["--cold"] : [];
        const child = home.start(["vm", "run", ...args, ...cold, ...smallVm, "--", "sleep", "1000"]);
        const ended = finished(child);
        await stageSeen(child, stage);
        child.kill("SIGINT");
        const ran = await ended;
        assert.equal(ran.code, stage === "ready" ? ran.code : 130, ran.stderr);
        assert.notEqual(ran.code, 0);
        const vms = await until("operations to be over", async () => {
          const operations = await home.json<{ done: boolean }[]>(["operation", "list"]);
          return operations.every((operation) => operation.done) ? await list(home) : undefined;
        });
        assert.equal(vms.length, left, ran.stderr);
        if (vms[0] !== undefined) assert.ok(["stopped", "running"].includes(vms[0].state), vms[0].state);
      }
    });
  }

  for (const verb of ["kill", "delete"] as const) {
    test(`${verb} cuts a start short instead of waiting for the guest`, async () => {
      await using home = new Home({ seeded: true });
      const child = home.start(["vm", "create", "--name", "web", ...smallVm], {
        env: { BANGER_DEBUG_AGENT: buildHostileAgent("silent") },
      });
      const ended = finished(child);
      await stageSeen(child, "boot");
      await home.ok(["vm", verb, "web"]);
      const ran = await ended;
      assert.equal(ran.code, 1);
      assert.match(ran.stderr, /ended while it was starting/);
      assert.deepEqual(
        (await list(home)).map((vm) => vm.state),
        verb === "kill" ? ["stopped"] : [],
      );
    });
  }

  test("a client of `vm run --rm` that is killed takes its VM with it", async () => {
    await using home = new Home({ seeded: true });
    const child = home.start(["vm", "run", "--rm", ...smallVm, "--", "sh", "-c", "echo started; sleep 1000"]);
    await new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
    assert.equal((await list(home)).length, 1);
    child.kill("SIGKILL");
    await until("the VM to be removed", async () => ((await list(home)).length === 0 ? true : undefined));
  });
});
