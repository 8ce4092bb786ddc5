// Forks of real VMs: what runs goes on in each, memory and disks belong to one instant, and every one is another machine.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { readChain } from "../../src/disk/chain.ts";
import { maxLayers } from "../../src/vm/snapshot/compact.ts";
import { Home, smallVm } from "../support/home.ts";
import { until } from "../support/until.ts";

describe("forks", { concurrency: false }, () => {
  let home: Home;
  before(() => {
    home = new Home({ seeded: true });
  });
  after(() => home[Symbol.asyncDispose]());

  const exec = async (vm: string, script: string) =>
    (await home.ok(["vm", "exec", vm, "--", "sh", "-c", script])).stdout.trim();
  const remove = (...vms: string[]) => home.ok(["vm", "delete", ...vms]);
  const snapshotDirs = () => readdirSync(join(home.path, "state/snapshots"));

  test("a process goes on from its count, and its disk is of the same instant", async () => {
    await home.ok(["vm", "create", "--name", "counter", ...smallVm]);
    // What the process knows is in memory; what it has written is on the disk before it counts on.
    // The blobs make the disk files grow all the time, also while they are frozen.
    const blob = "head -c 60000 /dev/urandom | tee /root/blob$((i%5)) | sha256sum > /root/sum$((i%5))";
    const count = `i=0; while :; do i=$((i+1)); echo $i >> /root/log; ${blob}; sync; echo $i > /dev/shm/count; done`;
    const sums =
      'for back in 0 1 2; do k=$(( ($(cat /dev/shm/count) - back) % 5 )); echo "$(cut -c1-64 /root/sum$k)  /root/blob$k"; done';
    await exec("counter", `setsid sh -c '${count}' </dev/null >/dev/null 2>&1 & echo $! > /dev/shm/pid`);
    await until("the counter to count", async () =>
      Number(await exec("counter", "cat /dev/shm/count")) > 5 ? true : undefined,
    );
    const counted = Number(await exec("counter", "cat /dev/shm/count"));
    const { vms, pausedMs } = await home.json<{
      vms: { name: string; lastStart: { kind: string } }[];
      pausedMs: number;
    }>(["vm", "fork", "counter", "--count", "2", "--name", "copy"]);
    assert.deepEqual(
      vms.map((vm) => [vm.name, vm.lastStart.kind]),
      [
        ["copy-1", "snapshot"],
        ["copy-2", "snapshot"],
      ],
    );
    assert.ok(pausedMs > 0);
    // Alone, and of one whose disks are layers already.
    await home.ok(["vm", "fork", "copy-1", "--name", "again"]);
    for (const vm of ["counter", "copy-1", "copy-2", "again"]) {
      const before = Number(await exec(vm, "cat /dev/shm/count"));
      assert.ok(before >= counted, `${vm} went back from ${counted} to ${before}`);
      await until(`the counter in ${vm} to go on`, async () =>
        Number(await exec(vm, "cat /dev/shm/count")) > before ? true : undefined,
      );
      // Read from the disk: a number that is missing or there twice was torn off at the fork.
      await exec(vm, "kill -STOP -- -$(cat /dev/shm/pid); sync; echo 3 > /proc/sys/vm/drop_caches");
      const log = (await exec(vm, "cat /root/log")).split("\n").map(Number);
      assert.deepEqual(
        log,
        Array.from({ length: log.length }, (_, index) => index + 1),
      );
      assert.ok(log.length >= before);
      await exec(vm, `(${sums}) | sha256sum --check --quiet`);
    }
    await remove("counter", "copy-1", "copy-2", "again");
    assert.deepEqual(snapshotDirs(), []);
  });

  test("a fork of a fork of a fork has all that its forebears had, and not a layer for each", async () => {
    const generations = maxLayers + 4;
    await home.ok(["vm", "create", "--name", "g0", ...smallVm]);
    for (let generation = 1; generation <= generations; generation++) {
      const [parent, child] = [`g${generation - 1}`, `g${generation}`];
      await exec(
        parent,
        `echo ${parent} >> /root/trail; echo ${parent} >> /etc/trail; echo ${parent} >> /dev/shm/trail`,
      );
      await home.ok(["vm", "fork", parent, "--name", child]);
      await remove(parent);
    }
    const last = `g${generations}`;
    const expected = Array.from({ length: generations }, (_, index) => `g${index}`);
    for (const file of ["/root/trail", "/etc/trail", "/dev/shm/trail"]) {
      assert.deepEqual((await exec(last, `cat ${file}`)).split("\n"), expected);
    }
    const { dir } = await home.json<{ dir: string }>(["vm", "show", last]);
    const top = readdirSync(dir).find((name) => name.startsWith("work."));
    assert.ok(top !== undefined);
    await until("the layers to be merged", async () => {
      const layers = await readChain(join(dir, top), "qcow2");
      return layers.length <= maxLayers + 1 ? true : undefined;
    });
    // From its disks alone, too.
    await home.ok(["vm", "restart", last]);
    assert.deepEqual((await exec(last, "cat /root/trail")).split("\n"), expected);
    await remove(last);
    assert.deepEqual(snapshotDirs(), []);
  });

  test("20 forks of one VM have nothing in common that must differ", async () => {
    await home.ok(["vm", "create", "--name", "origin", ...smallVm]);
    // What the guest's generator has in store before the fork is the same in each of them.
    await exec("origin", "head -c 64 /dev/urandom > /dev/null; cat /proc/sys/kernel/random/uuid > /dev/null");
    const facts = {
      random: "head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'",
      uuid: "cat /proc/sys/kernel/random/uuid",
      boot: "cat /proc/sys/kernel/random/boot_id",
      machine: "cat /etc/machine-id",
      host: "hostname",
      key: "openssl genpkey -algorithm ed25519 | openssl pkey -pubout -outform DER | od -An -v -tx1 | tr -d ' \\n'",
    };
    const script = Object.values(facts)
      .map((command) => `${command}; echo`)
      .join("; ");
    const seen = new Map(Object.keys(facts).map((fact) => [fact, new Set<string>()]));
    const hostKeys = new Set<string>();
    const look = async (vm: { id: string; name: string }) => {
      const lines = (await exec(vm.name, script)).split("\n").filter((line) => line !== "");
      assert.equal(lines.length, seen.size, lines.join("\n"));
      [...seen.values()].forEach((values, index) => values.add(lines[index] ?? ""));
      hostKeys.add(
        readFileSync(join(home.path, "state/vms", vm.id, "known_hosts"), "utf8")
          .split(" ")
          .slice(1)
          .join(" "),
      );
    };
    await look(await home.json(["vm", "show", "origin"]));
    for (let batch = 0; batch < 4; batch++) {
      const { vms } = await home.json<{ vms: { id: string; name: string }[] }>([
        ...["vm", "fork", "origin", "--count", "5", "--name", `b${batch}`],
      ]);
      for (const vm of vms) await look(vm);
      await remove(...vms.map((vm) => vm.name));
    }
    for (const [fact, values] of seen) assert.equal(values.size, 21, `${fact}: ${[...values].join(" ")}`);
    assert.equal(hostKeys.size, 21);
    await remove("origin");
    assert.ok(existsSync(join(home.path, "state/snapshots")));
    assert.deepEqual(snapshotDirs(), []);
  });
});
