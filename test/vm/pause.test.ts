// Pause and resume with a real guest: memory, clock and streams go on, or say why they do not, and no kill of the daemon loses any.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { VmRecord } from "../../src/api/records.ts";
import { finished, Home, smallVm } from "../support/home.ts";
import { isRunning } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** Writes wall clock and monotonic time, in milliseconds and hundredths of a second, to a file in memory for ever. */
const ticker = `
nohup setsid sh -c 'while :; do
  read up _ </proc/uptime; echo "$(date +%s%3N) $up" >>/dev/shm/ticks; sleep 0.02
done' >/dev/null 2>&1 &
echo $! >/dev/shm/pid`;

describe("pause", { concurrency: false }, () => {
  const home = new Home({ seeded: true });
  before(async () => {
    await home.ok(["vm", "create", "--name", "box", ...smallVm]);
    await guest(ticker);
  });
  after(() => home[Symbol.asyncDispose]());

  const guest = async (script: string) =>
    (await home.ok(["vm", "exec", "box", "--", "sh", "-c", script])).stdout.trim();
  const show = async () => await home.json<VmRecord>(["vm", "show", "box"]);
  /** VMMs of VMs; not of the template that is made in the background. */
  const vmms = () =>
    home.processes().filter(({ command }) => command.includes("qemu-system") && !command.includes("-template-"));
  const ticks = async () =>
    (await guest("cat /dev/shm/ticks")).split("\n").map((line) => {
      const [wallMs = 0, upS = 0] = line.split(" ").map(Number);
      return { wallMs, upS };
    });
  /** The ticker is the one that was started first, and it ticks. */
  const goesOn = async () => {
    const count = (await ticks()).length;
    await until("the next tick", async () => ((await ticks()).length > count ? true : undefined));
    await guest("kill -0 $(cat /dev/shm/pid)");
  };
  const pausedFiles = (dir: string) => readdirSync(dir).filter((name) => name.startsWith("paused"));

  test("no process is left, the record says so, and the hint is the way back", async () => {
    const running = await show();
    await home.ok(["vm", "pause", "box"]);
    const paused = await show();
    assert.deepEqual([paused.state, paused.pid, vmms()], ["paused", null, []]);
    assert.ok(paused.diskUsedBytes > running.diskUsedBytes + 32 * 1024 * 1024, "its memory counts");
    for (const args of [
      ["exec", "box", "--", "true"],
      ["ssh", "box", "true"],
      ["start", "box"],
      ["pause", "box"],
    ]) {
      const ran = await home.run(["vm", ...args]);
      assert.notEqual(ran.code, 0, args[0]);
      assert.match(ran.stderr, /VM "box" is paused[^]*banger vm resume box/, args[0]);
    }
    await home.ok(["vm", "resume", "box"]);
    await goesOn();
    const { state, pid, dir, lastStart } = await show();
    assert.deepEqual([state, vmms().map((vmm) => vmm.pid), pausedFiles(dir)], ["running", [pid], []]);
    assert.equal(lastStart?.kind, "pause");
  });

  test("no process sees the wrong time, and none sees time go back", async () => {
    await home.ok(["vm", "pause", "box"]);
    const pausedMs = Date.now();
    // The time that passes is what is tested.
    await delay(3000);
    const resumedMs = Date.now();
    await home.ok(["vm", "resume", "box"]);
    await goesOn();
    const seen = await ticks();
    // A second of tolerance: the guest's clock is set when it starts and may drift since.
    const wrong = seen.filter(({ wallMs }) => wallMs > pausedMs + 1000 && wallMs < resumedMs - 1000);
    assert.deepEqual(wrong, []);
    assert.ok(seen.some(({ wallMs }) => wallMs >= resumedMs - 1000));
    assert.ok(seen.every(({ upS }, index) => upS >= (seen[index - 1]?.upS ?? 0)));
  });

  test("a command under way ends and its client says why", async () => {
    const child = home.start(["vm", "exec", "box", "--", "sh", "-c", "echo here; sleep 1000"]);
    const ended = finished(child);
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    await home.ok(["vm", "pause", "box"]);
    const ran = await ended;
    assert.notEqual(ran.code, 0);
    assert.match(ran.stderr, /VM "box" was paused \(guest\.unreachable\)\nbanger: hint: banger vm resume box/);
    await home.ok(["vm", "resume", "box"]);
    await goesOn();
  });

  test("memory outlives everything but its files: daemon, sockets and VMMs gone", async () => {
    await home.ok(["vm", "pause", "box"]);
    const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
    process.kill(pid, "SIGKILL");
    await until("the daemon to be gone", () => (isRunning(pid) ? undefined : true));
    rmSync(join(home.path, "run"), { recursive: true });
    assert.equal((await show()).state, "paused");
    await home.ok(["vm", "resume", "box"]);
    await goesOn();
  });

  test("--keep-running: a command stands still and goes on, and a new daemon finds the VM paused", async () => {
    const waiting = "echo here; until [ -e /dev/shm/go ]; do sleep 0.05; done; echo there";
    const child = home.start(["vm", "exec", "box", "--", "sh", "-c", waiting]);
    const ended = finished(child);
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    await home.ok(["vm", "pause", "--keep-running", "box"]);
    const { pid, state } = await show();
    assert.deepEqual([state, vmms().map((vmm) => vmm.pid)], ["paused", [pid]]);
    await home.ok(["vm", "resume", "box"]);
    await guest("touch /dev/shm/go");
    assert.deepEqual(await ended, { code: 0, signal: null, stdout: "here\nthere\n", stderr: "" });
    await goesOn();

    await home.ok(["vm", "pause", "--keep-running", "box"]);
    await home.ok(["daemon", "stop"]);
    const found = await show();
    assert.deepEqual([found.state, found.pid], ["paused", pid]);
    await home.ok(["vm", "resume", "box"]);
    await goesOn();
  });

  /** Kills the daemon in the middle of the verb; what the next one finds must be whole. */
  const killDuring = async (args: string[], afterMs: number) => {
    const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
    const child = home.start(args);
    const ended = finished(child);
    await delay(afterMs);
    process.kill(pid, "SIGKILL");
    await ended;
    const { state, reason, dir, pid: vmm } = await show();
    const context = `after "${args.join(" ")}" was cut at ${afterMs} ms: ${reason}`;
    assert.ok(state === "running" || state === "paused", `${state} ${context}`);
    assert.deepEqual(pausedFiles(dir), state === "paused" ? ["paused"] : [], context);
    await until("VMMs that were left over to end", () => (vmms().length === (vmm === null ? 0 : 1) ? true : undefined));
    return state;
  };

  test("a daemon that is killed at any point of a pause or a resume loses nothing", async () => {
    const rounds = 12;
    const seen = new Set<string>();
    for (let round = 0; round < rounds; round++) {
      const afterPause = await killDuring(["vm", "pause", "box"], (Math.random() * 800 * (round + 1)) / rounds);
      seen.add(`pause: ${afterPause}`);
      if (afterPause === "running") {
        await goesOn();
        await home.ok(["vm", "pause", "box"]);
      }
      const afterResume = await killDuring(["vm", "resume", "box"], (Math.random() * 800 * (round + 1)) / rounds);
      seen.add(`resume: ${afterResume}`);
      if (afterResume === "paused") await home.ok(["vm", "resume", "box"]);
      await goesOn();
    }
    assert.ok(seen.size > 2, [...seen].join());
  });

  test("memory that does not fit any more: the VM boots from its disks, which were flushed, and says why", async () => {
    const { dir } = await show();
    await guest("echo kept >/root/kept");
    await home.ok(["vm", "pause", "box"]);
    const file = join(dir, "paused/pause.json");
    const info = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    writeFileSync(file, JSON.stringify({ ...info, fingerprint: "0".repeat(64) }));
    await home.ok(["vm", "resume", "box"]);
    const { state, lastStart } = await show();
    assert.deepEqual([state, lastStart?.kind], ["running", "cold"]);
    assert.match(lastStart?.reason ?? "", /does not fit/);
    assert.equal(await guest("cat /root/kept; ls /dev/shm"), "kept");
    assert.deepEqual(pausedFiles(dir), []);
  });

  test("a stop shuts a paused VM down cleanly; a delete of a paused VM frees all", async () => {
    await guest("echo later >/root/later");
    await home.ok(["vm", "pause", "box"]);
    await home.ok(["vm", "stop", "box"]);
    const { dir, state } = await show();
    assert.deepEqual([state, pausedFiles(dir), vmms()], ["stopped", [], []]);
    await home.ok(["vm", "start", "box"]);
    assert.equal(await guest("cat /root/later"), "later");
    await home.ok(["vm", "pause", "box"]);
    await home.ok(["vm", "delete", "box"]);
    assert.deepEqual([existsSync(dir), vmms()], [false, []]);
  });
});
