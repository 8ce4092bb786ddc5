// Freeze and thaw of real guests: nothing runs in between, whatever cgroup it hides in, and a restored copy is another machine.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { KernelRecord } from "../../src/api/records.ts";
import { ensureDisk } from "../../src/disk/blank.ts";
import type { GuestAgent } from "../../src/guest/agent.ts";
import { connectGuest } from "../../src/guest/connect.ts";
import { buildInitramfs } from "../../src/kernel/initramfs.ts";
import { BangerError } from "../../src/lib/errors.ts";
import { silentLogger } from "../../src/lib/log.ts";
import { generateHostKey } from "../../src/ssh/host-key.ts";
import type { Machine, MachineCapture, MachineSpec } from "../../src/vmm/driver.ts";
import { createQemuDriver } from "../../src/vmm/qemu/driver.ts";
import { seedHome } from "../support/seed.ts";
import { root } from "../support/source-files.ts";
import { until } from "../support/until.ts";

const gib = 2 ** 30;
const architectures: Partial<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
const deadline = () => ({ signal: AbortSignal.timeout(120_000) });

/** The one directory below `parent` whose name begins like a content id. */
function stored(parent: string): string {
  const name = readdirSync(join(seedHome, "state", parent)).find((entry) => /^[0-9a-f]{64}/.test(entry));
  assert.ok(name !== undefined, `no ${parent} in the seed home: run node test/support/seed.ts`);
  return join(seedHome, "state", parent, name);
}

interface Guest {
  machine: Machine;
  agent: GuestAgent;
}

/** Machines of one test with their files, and nothing of them left at its end. */
class Bench implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), "banger-freeze-"));
  readonly homeId = randomBytes(6).toString("hex");
  readonly #kernel = stored("kernels");
  readonly driver = createQemuDriver({
    paths: { homeId: this.homeId, cacheDir: join(this.root, "cache") },
    log: silentLogger,
    probeKernel: async () => join(this.#kernel, "kernel"),
  });

  async #spec(name: string): Promise<MachineSpec> {
    const dir = join(this.root, name);
    mkdirSync(dir, { mode: 0o700 });
    const manifest = JSON.parse(readFileSync(join(this.#kernel, "manifest.json"), "utf8")) as Partial<KernelRecord>;
    const kernel = { ...manifest, id: this.#kernel.split("/").at(-1), name: "test", modulesDir: this.#kernel };
    const initrd = await buildInitramfs(
      {
        kernel: kernel as KernelRecord,
        agentPath: join(root, `dist/agent/banger-agent-${architectures[process.arch]}`),
        cacheDir: join(this.root, "cache"),
        log: silentLogger,
      },
      deadline(),
    );
    const raw = (serial: string, path: string, readOnly: boolean) => ({
      serial,
      path,
      readOnly,
      format: "raw" as const,
    });
    return {
      vmId: randomBytes(6).toString("hex"),
      homeId: this.homeId,
      dir,
      kernel: join(this.#kernel, "kernel"),
      initrd,
      kernelArguments: [],
      vcpus: 2,
      memoryMib: 256,
      disks: [
        raw("base", join(stored("images"), "rootfs.ext4"), true),
        raw("overlay", join(dir, "overlay.ext4"), false),
        raw("work", join(dir, "work.ext4"), false),
      ],
    };
  }

  /** A guest that runs. */
  async boot(): Promise<Guest & { spec: MachineSpec }> {
    const spec = await this.#spec("source");
    for (const disk of spec.disks.slice(1)) await ensureDisk(disk.path, disk.serial, gib, deadline().signal);
    const machine = await this.driver.launch(spec, deadline());
    const agent = await connectGuest(await machine.controlChannel(deadline()), deadline());
    await agent.configure(
      {
        ...identity("source"),
        disks: { base: "base", overlay: "overlay", work: "work" },
        environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        defaultUser: "",
        defaultWorkdir: "",
      },
      deadline(),
    );
    return { machine, agent, spec };
  }

  /** A copy of a frozen guest, still frozen. */
  async copy(name: string, source: Guest & { spec: MachineSpec }, capture: MachineCapture): Promise<Guest> {
    const spec = await this.#spec(name);
    for (const [place, disk] of spec.disks.entries()) {
      if (!disk.readOnly) execFileSync("cp", ["--sparse=always", source.spec.disks[place]?.path ?? "", disk.path]);
    }
    const { machine } = await this.driver.restore(spec, capture, deadline());
    await machine.resume();
    return { machine, agent: await connectGuest(await machine.controlChannel(deadline()), deadline()) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [vmId, pid] of await this.driver.list(this.homeId)) await this.driver.killOrphan(vmId, this.homeId, pid);
    rmSync(this.root, { recursive: true, force: true });
  }
}

const identity = (name: string) => ({
  vmId: `${name}-id`,
  hostname: name,
  ssh: { hostKeyPem: generateHostKey().privatePem, authorizedKeys: [] },
  bootId: randomUUID(),
});

async function sh(agent: GuestAgent, script: string): Promise<string> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const texts = Promise.all([text(stdout), text(stderr)]);
  const { exited } = await agent.exec({ argv: ["sh", "-c", script], stdout, stderr }, deadline());
  const { code } = await exited;
  stdout.end();
  stderr.end();
  const [out, err] = await texts;
  assert.equal(code, 0, `${script}: ${err}`);
  return out.trim();
}

/** Writes the guest's uptime into a file of /dev/shm for ever. */
const diary = (name: string, before = ":") =>
  `${before}; while :; do read up idle < /proc/uptime; echo $up >> /dev/shm/${name}; done`;
const inBackground = (script: string) => `(setsid sh -c '${script}' > /dev/null 2>&1 < /dev/null &)`;
const inGroup = (path: string) => `mkdir -p /sys/fs/cgroup${path}; echo $$ > /sys/fs/cgroup${path}/cgroup.procs`;

/** What wrote each diary, by where it hides. Six loops that fork share the last. */
const writers: Record<string, string> = {
  plain: diary("plain"),
  stray: diary("stray", inGroup("")),
  nested: diary("nested", inGroup("/engine/box")),
  forks:
    "for n in $(seq 6); do (while :; do (read up idle < /proc/uptime; echo $up >> /dev/shm/forks) & wait; done) & done; wait",
};

/** Starts writers, and returns when each has written. */
async function startWriters(agent: GuestAgent, names: readonly string[]): Promise<void> {
  for (const name of names) await sh(agent, inBackground(writers[name] ?? ""));
  await until("every diary to begin", async () => {
    const begun = await sh(agent, `cd /dev/shm; for n in ${names.join(" ")}; do test -s $n && echo $n; done; true`);
    return begun.split("\n").length === names.length ? true : undefined;
  });
}

/** The longest pause in a diary: its length in ms and its end in seconds of uptime. */
async function longestPause(agent: GuestAgent, name: string): Promise<{ ms: number; end: number }> {
  const longest = await sh(
    agent,
    `sort -n /dev/shm/${name} | awk 'NR > 1 && $1 - last > gap { gap = $1 - last; end = $1 } { last = $1 } END { print gap, end }'`,
  );
  const [gap, end] = longest.split(" ").map(Number);
  return { ms: (gap ?? 0) * 1000, end: end ?? 0 };
}

describe("a frozen guest", { concurrency: false }, () => {
  test("runs nothing until it is thawed, and then all of it", async () => {
    await using bench = new Bench();
    const { machine, agent } = await bench.boot();
    await startWriters(agent, Object.keys(writers));
    assert.match(await sh(agent, "cat /proc/self/cgroup"), /^0::\/guest$/m);
    for (const sync of [true, false]) {
      await agent.freeze({ sync, ...deadline() });
      await agent.freeze({ sync, ...deadline() });
      const frozenAt = performance.now();
      assert.equal((await agent.hello(deadline())).phase, "frozen");
      let began = false;
      const waiting = [agent.stats(deadline()), sh(agent, "true")].map((call) => call.then(() => (began = true)));
      await delay(1500);
      const frozenMs = performance.now() - frozenAt;
      assert.equal(began, false, "a call was served while the guest was frozen");
      await agent.thaw(deadline());
      await Promise.all(waiting);
      assert.equal((await agent.hello(deadline())).phase, "running");
      for (const name of Object.keys(writers)) {
        const after = await until(`"${name}" to go on after the pause`, async () => {
          const pause = await longestPause(agent, name);
          return pause.ms >= frozenMs - 50 ? pause : undefined;
        });
        await sh(agent, `: > /dev/shm/${name}`);
        assert.ok(after.ms > 0);
      }
    }
    assert.ok(Math.abs(Number(await sh(agent, "date +%s%N")) / 1e6 - Date.now()) < 5000, "the clock is wrong");
    await agent.freeze({ sync: false, ...deadline() });
    await agent.shutdown({ graceMs: 1000, ...deadline() });
    assert.deepEqual(await machine.exited, { reason: "the guest powered off", expected: true });
  });

  test("stays frozen when its host goes away or cannot say who it is to be", async () => {
    await using bench = new Bench();
    const { machine, agent } = await bench.boot();
    await startWriters(agent, ["plain"]);
    await agent.freeze({ sync: false, ...deadline() });
    await agent[Symbol.asyncDispose]();
    const next = await connectGuest(await machine.controlChannel(deadline()), deadline());
    assert.equal((await next.hello(deadline())).phase, "frozen");
    const wrong = { ...identity("other"), hostname: "no name" };
    await assert.rejects(next.thaw({ identity: wrong, ...deadline() }), (error: unknown) => {
      assert.ok(error instanceof BangerError && error.code === "guest.failed", String(error));
      return /hostname/.test(error.message);
    });
    const hello = await next.hello(deadline());
    assert.deepEqual([hello.phase, hello.vmId], ["frozen", "source-id"]);
    await next.thaw(deadline());
    assert.equal(await sh(next, "hostname"), "source");
  });

  test("becomes another machine whatever its root has put in the agent's way", async () => {
    await using bench = new Bench();
    const { agent } = await bench.boot();
    const pipes = ["/dev/urandom", "/dev/random", "/etc/hostname", "/etc/hosts", "/etc/machine-id"];
    for (const path of pipes) await sh(agent, `rm -f ${path}; mkfifo ${path}`);
    await sh(
      agent,
      "umount /proc/sys/kernel/random/boot_id; mount -t tmpfs none /sys/fs/cgroup; mount -t tmpfs none /run",
    );
    await agent.freeze({ sync: true, ...deadline() });
    const wanted = identity("other");
    await agent.thaw({ identity: wanted, ...deadline() });
    assert.equal(await sh(agent, "cat /etc/hostname /proc/sys/kernel/random/boot_id"), `other\n${wanted.bootId}`);
    assert.match(await sh(agent, "cat /etc/machine-id"), /^[0-9a-f]{32}$/);
  });

  test("becomes other machines, which share no number and run nothing of the host's that they came from", async () => {
    await using bench = new Bench();
    const source = await bench.boot();
    await startWriters(source.agent, ["plain"]);
    const call = source.agent.exec(
      {
        argv: ["sh", "-c", `echo $$ > /run/call; ${diary("call")}`],
        stdout: new PassThrough(),
        stderr: new PassThrough(),
      },
      deadline(),
    );
    (await call).exited.catch(() => {});
    await until("the call to run", async () => (await sh(source.agent, "cat /dev/shm/call")) || undefined);
    await source.agent.freeze({ sync: true, ...deadline() });
    const files = { memoryFile: join(bench.root, "memory"), stateFile: join(bench.root, "state") };
    {
      await using capture = await source.machine.beginCapture(files, deadline());
      await source.machine.pause();
      await capture.finish(deadline());
    }
    const shown = [
      "/proc/sys/kernel/random/boot_id",
      "/etc/machine-id",
      "/etc/hostname",
      "/proc/sys/kernel/random/uuid",
    ];
    const seen = new Set<string>();
    for (const name of ["one", "two"]) {
      const { agent, machine } = await bench.copy(name, source, files);
      await using _ = machine;
      const hello = await agent.hello(deadline());
      assert.deepEqual([hello.phase, hello.vmId], ["frozen", "source-id"]);
      const wanted = identity(name);
      await agent.thaw({ identity: wanted, ...deadline() });
      const after = await agent.hello(deadline());
      assert.deepEqual([after.phase, after.vmId, after.bootId], ["running", wanted.vmId, wanted.bootId]);
      const facts = (await sh(agent, `cat ${shown.join(" ")}; head -c 32 /dev/urandom | base64; hostname`)).split("\n");
      assert.equal(facts[0], wanted.bootId);
      assert.equal(facts.at(-1), name);
      for (const fact of facts.slice(0, -1)) {
        assert.ok(!seen.has(fact), `both copies have ${fact}`);
        seen.add(fact);
      }
      assert.equal(await sh(agent, "grep -c boot_id /proc/self/mountinfo"), "1");
      const { end } = await longestPause(agent, "plain");
      assert.ok(Number(await sh(agent, "tail -n 1 /dev/shm/call")) < end, "a call of the source's host went on");
      assert.equal(await sh(agent, "kill -0 $(cat /run/call) 2> /dev/null || echo dead"), "dead");
      await machine.kill();
    }
  });
});
