// VMs that run their image's own init: systemd with its services, busybox, and what is no init at all.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { SnapshotRecord, VmRecord } from "../../src/api/records.ts";
import { Home, smallVm } from "../support/home.ts";
import { busyboxTar, systemdTar } from "../support/init-images.ts";
import { until } from "../support/until.ts";

/** Counts in its own memory, so that a restart would begin anew; what it was told at its end it writes on the disk. */
const counter = `[Service]
ExecStart=/bin/sh -c 'trap "sleep 0.2; echo clean > /var/lib/counter; exit 0" TERM; i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; sleep 0.05; done'
[Install]
WantedBy=multi-user.target
`;

const inittab = `::sysinit:/bin/sh -c 'echo up > /run/up'
::respawn:/bin/sleep 1000000
::shutdown:/bin/sh -c 'echo down > /root/down'
`;

describe("the image's own init", { concurrency: false }, () => {
  let home: Home;
  let server: Server;
  /** Of the host's loopback, where somebody says a line. */
  let port: number;
  before(async () => {
    home = new Home({ seeded: true });
    server = createServer((socket) => socket.on("error", () => {}).end("hello\n")).listen(0, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
    await home.ok(["image", "import", "--name", "systemd", systemdTar()]);
    await home.ok(["template", "warm", "--image", "systemd", ...smallVm]);
  });
  after(async () => {
    server.close();
    await home[Symbol.asyncDispose]();
  });

  const systemd = ["--image", "systemd", "--init", "/sbin/init", ...smallVm];
  const exec = async (vm: string, ...argv: string[]) =>
    (await home.ok(["vm", "exec", vm, "--", ...argv])).stdout.trim();
  const shell = (vm: string, script: string) => exec(vm, "sh", "-c", script);
  const show = (name: string) => home.json<VmRecord>(["vm", "show", name]);
  const stopped = (name: string) =>
    until(`VM "${name}" to be stopped`, async () => {
      const vm = await show(name);
      return vm.state === "stopped" ? vm : undefined;
    });

  test("systemd comes up with no unit that failed, and takes commands as soon as the VM is ready", async () => {
    await home.ok(["vm", "create", "--name", "box", ...systemd, "--allow-host", String(port)]);
    const { init, lastStart } = await show("box");
    assert.deepEqual([init, lastStart?.kind], ["/sbin/init", "image"]);
    assert.equal(await exec("box", "systemctl", "is-system-running", "--wait"), "running");
    assert.equal(await exec("box", "systemctl", "--failed", "--plain", "--no-legend"), "");
    assert.equal(await exec("box", "cat", "/proc/1/comm"), "systemd");
    assert.equal(await greeting("box"), "hello");
  });

  /** By name, over the network that it was given. */
  const greeting = (vm: string) => exec(vm, "bash", "-c", `head -n 1 </dev/tcp/host.vm/${port}`);

  test("what is run in it is seen by the guest as its own, and the agent is not", async () => {
    assert.match(
      await shell("box", "cat /proc/$$/cgroup; readlink /proc/self/exe; test -e /proc/1/exe && echo init"),
      /init$/,
    );
    assert.doesNotMatch(await shell("box", "cat /proc/[0-9]*/comm"), /banger/);
    // A mount of the guest is one of the file service, too.
    await shell("box", "mkdir /mnt/m && mount -t tmpfs none /mnt/m && echo there > /mnt/m/f");
    const copied = join(home.path, "copied");
    await home.ok(["vm", "cp", "box:/mnt/m/f", copied]);
    writeFileSync(copied, counter);
    await home.ok(["vm", "cp", copied, "box:/etc/systemd/system/counter.service"]);
    const { stdout } = await home.ok(["vm", "ssh", "box", "--", "systemctl enable --now counter && cat /proc/1/comm"]);
    assert.equal(stdout, "systemd\n");
  });

  test("the agent outlives what systemd and root do", async () => {
    await exec("box", "systemctl", "daemon-reexec");
    await home.run(["vm", "exec", "box", "--", "sh", "-c", "kill -9 -1"]);
    assert.equal(await exec("box", "cat", "/proc/1/comm"), "systemd");
    // The count began anew: systemd has noticed that it ended.
    await exec("box", "systemctl", "restart", "counter");
    await until("systemd to have its services again", async () =>
      (await shell("box", "systemctl is-active counter dbus || true")) === "active\nactive" ? true : undefined,
    );
  });

  test("a fork has systemd and its services where they were, and is another machine", async () => {
    // For a moment, between two numbers, there is none.
    const countOf = (vm: string, atLeast: number) =>
      until(`the service in ${vm} to count`, async () => {
        const count = Number(await exec(vm, "cat", "/dev/shm/count"));
        return count >= atLeast ? count : undefined;
      });
    const counted = await countOf("box", 6);
    const identity = "hostname; cat /etc/machine-id /proc/sys/kernel/random/boot_id; systemctl show -p MainPID counter";
    await home.ok(["vm", "fork", "box", "--name", "copy"]);
    const [own, copied] = await Promise.all(["box", "copy"].map(async (vm) => (await shell(vm, identity)).split("\n")));
    assert.ok(own !== undefined && copied !== undefined);
    assert.deepEqual([own[0], copied[0]], ["box", "copy"]);
    assert.equal(await greeting("copy"), "hello");
    assert.notEqual(copied[1], own[1]);
    assert.notEqual(copied[2], own[2]);
    assert.equal(copied[3], own[3]);
    for (const vm of ["box", "copy"]) {
      const seen = await until(`a count in ${vm}`, async () => (await exec(vm, "cat", "/dev/shm/count")) || undefined);
      assert.ok(Number(seen) >= counted, `${vm} went back from ${counted} to ${seen}`);
    }
    assert.match(
      await exec("copy", "hostnamectl"),
      new RegExp(`Static hostname: copy[^]*Machine ID: ${copied[1] ?? ""}`),
    );
  });

  test("stop lets services end, leaves the disks clean, and a start runs the init again", async () => {
    await home.ok(["vm", "stop", "box"]);
    await home.ok(["vm", "start", "box"]);
    assert.equal(await exec("box", "cat", "/var/lib/counter"), "clean");
    assert.equal(await greeting("box"), "hello");
    assert.equal(await exec("box", "cat", "/proc/1/comm"), "systemd");
    const disks = await shell("box", "dmesg | grep EXT4-fs");
    assert.match(disks, /mounted filesystem/);
    assert.doesNotMatch(disks, /recover|orphan|error/i);
    const journal = await until("the journal of the boot before to be read", async () => {
      const read = await home.run(["vm", "exec", "box", "--", "journalctl", "-b", "-1", "-n", "20"]);
      return read.code === 0 ? read.stdout : undefined;
    });
    assert.match(journal, /systemd\[1\]: Reached target poweroff\.target/);
    assert.doesNotMatch(await exec("box", "journalctl", "-b", "0", "_COMM=systemd-journald"), /corrupt|uncleanly/);
  });

  test("the guest powers itself off and reboots itself", async () => {
    await home.run(["vm", "exec", "copy", "--", "systemctl", "poweroff"]);
    assert.equal((await stopped("copy")).reason, "the guest powered off");
    await home.run(["vm", "exec", "box", "--", "systemctl", "reboot"]);
    await stopped("box");
    await home.ok(["vm", "delete", "box", "copy"]);
  });

  test("a warm image has its services up", async () => {
    const command = ["--", "systemctl", "is-system-running", "--wait"];
    const options = ["--name", "up", "--init", "/sbin/init", ...smallVm];
    const snapshot = await home.json<SnapshotRecord>(["image", "warm", "systemd", ...options, "--json", ...command]);
    assert.equal(snapshot.memory, true);
    const warm = ["vm", "run", "--rm", "--warm-from", "up"];
    const { stdout } = await home.ok([...warm, "--", "systemctl", "is-active", "multi-user.target", "dbus"]);
    assert.equal(stdout, "active\nactive\n");
    const refused = await home.run([...warm, "--init", "/sbin/init", "--", "true"]);
    assert.match(refused.stderr, /--warm-from and --init exclude each other/);
    // Without its memory it boots, with the same init.
    const cold = await home.ok([...warm, "--cold", "--", "cat", "/proc/1/comm"]);
    assert.equal(cold.stdout, "systemd\n");
  });

  test("busybox is an init as well", async () => {
    const work = mkdtempSync(join(tmpdir(), "banger-busybox-"));
    try {
      await home.ok(["image", "import", "--name", "busybox", busyboxTar(work, inittab)]);
    } finally {
      rmSync(work, { recursive: true });
    }
    await home.ok(["vm", "create", "--name", "bb", "--image", "busybox", "--init", "/sbin/init", ...smallVm]);
    await until("the init to have done what its table says", async () =>
      (await shell("bb", "cat /run/up")) === "up" ? true : undefined,
    );
    assert.equal(await exec("bb", "cat", "/proc/1/comm"), "init");
    await home.ok(["vm", "fork", "bb", "--name", "bb-copy"]);
    assert.equal(await exec("bb-copy", "cat", "/run/up"), "up");
    await home.run(["vm", "exec", "bb-copy", "--", "poweroff"]);
    assert.equal((await stopped("bb-copy")).reason, "the guest powered off");
    await home.ok(["vm", "stop", "bb"]);
    await home.ok(["vm", "start", "bb"]);
    assert.equal(await exec("bb", "cat", "/root/down"), "down");
    await home.ok(["vm", "delete", "bb", "bb-copy"]);
  });

  for (const [path, reason] of [
    ["/sbin/nothing", "no such file or directory"],
    ["/etc/passwd", "it is no program"],
    ["/bin/false", "it ended at once, with status 1"],
  ] as const) {
    test(`${path} is refused as an init`, async () => {
      const ran = await home.run(["vm", "create", "--name", "bad", "--image", "systemd", ...smallVm, "--init", path]);
      assert.notEqual(ran.code, 0);
      assert.ok(ran.stderr.includes(`init: ${path}: ${reason}`), ran.stderr);
      assert.match(ran.stderr, /vm\.boot-failed/);
      assert.equal((await show("bad")).state, "stopped");
      await home.ok(["vm", "delete", "bad"]);
    });
  }
});
