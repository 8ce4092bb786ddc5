// A disk that is full while something is made: the error says so, nothing half made stays, and it works once there is room.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { VmRecord } from "../../src/api/records.ts";
import { ensureClientKey } from "../../src/ssh/client-key.ts";
import { finished, type Ran, smallVm } from "../support/home.ts";
import { packKernel, seedKernelTree } from "../support/kernel-package.ts";
import { SmallDiskHome } from "../support/small-disk-home.ts";
import { until } from "../support/until.ts";

const mib = 1024 * 1024;

function isDiskFull(ran: Ran): void {
  assert.equal(ran.code, 1, ran.stderr);
  assert.match(ran.stderr, /\(disk\.full\)/);
  assert.match(ran.stderr, /hint: banger image list/);
}

describe("images and kernels on a full disk", { concurrency: false }, () => {
  let home: SmallDiskHome;
  let directory: string;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-full-"));
    mkdirSync(join(directory, "tree"));
    writeFileSync(join(directory, "tree/file"), "content");
    execFileSync("tar", ["-cf", join(directory, "small.tar"), "-C", join(directory, "tree"), "."]);
    writeFileSync(join(directory, "tree/big"), randomBytes(40 * mib));
    execFileSync("tar", ["-cf", join(directory, "large.tar"), "-C", join(directory, "tree"), "."]);
    home = await SmallDiskHome.make({ seeded: false, sizeMib: 24 });
    await home.ok(["image", "list"]);
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await home[Symbol.asyncDispose]();
  });

  const stored = (kind: "images" | "kernels") => readdirSync(join(home.files, "state", kind));
  /** Runs what does not fit; there must be as much room as before, but for what the log and the database took. */
  const doesNotFit = async (...args: string[]) => {
    const before = { free: home.free(), images: stored("images"), kernels: stored("kernels") };
    isDiskFull(await home.run(args));
    assert.deepEqual([stored("images"), stored("kernels")], [before.images, before.kernels]);
    assert.ok(before.free - home.free() < mib, `${before.free - home.free()} bytes were not given back`);
  };

  test("image import", async () => {
    await doesNotFit("image", "import", join(directory, "large.tar"), "--name", "large");
    assert.deepEqual(await home.json(["image", "list"]), []);
    await home.ok(["image", "import", join(directory, "small.tar"), "--name", "small"]);
    assert.equal((await home.json<unknown[]>(["image", "list"])).length, 1);
  });

  test("image pull", async () => {
    await doesNotFit("image", "pull", "debian-bookworm");
  });

  test("kernel import, of a directory and of a package", async () => {
    const tree = seedKernelTree(join(directory, "package"));
    await doesNotFit("kernel", "import", tree, "--name", "large");
    const deb = packKernel(tree, join(directory, "large.deb"));
    await doesNotFit("kernel", "import", deb, "--name", "large");
    const alone = join(directory, "alone");
    mkdirSync(alone);
    execFileSync("cp", [join(tree, "vmlinuz"), join(alone, "vmlinuz")]);
    await home.ok(["kernel", "import", alone, "--name", "small"]);
    assert.equal((await home.json<unknown[]>(["kernel", "list"])).length, 1);
  });
});

describe("VMs on a full disk", { concurrency: false }, () => {
  let home: SmallDiskHome;
  let pid: number;
  const status = () => home.json<{ pid: number }>(["daemon", "status"]);
  before(async () => {
    home = await SmallDiskHome.make({ seeded: true, sizeMib: 48 });
  });
  after(() => home[Symbol.asyncDispose]());

  test("a daemon that cannot write a byte says why it does not start", async () => {
    using _filler = await home.fill(0);
    isDiskFull(await home.run(["vm", "list"]));
  });

  test("a database that cannot grow: nothing is made, and the daemon goes on", async () => {
    await home.ok(["vm", "list"]);
    ({ pid } = await status());
    {
      using _filler = await home.fill(0);
      isDiskFull(await home.run(["vm", "create", "--name", "web", ...smallVm]));
      assert.deepEqual(await home.vms(), []);
    }
    assert.equal((await status()).pid, pid);
  });

  test("no room for the SSH key", async () => {
    const ssh = join(home.files, "state/other-ssh");
    mkdirSync(ssh);
    using _filler = await home.fill(0);
    const { signal } = new AbortController();
    await assert.rejects(ensureClientKey(ssh, { signal }), { code: "disk.full", message: /SSH key/ });
    assert.deepEqual(readdirSync(ssh), []);
  });

  test("no room for the disks: the VM is stopped with the reason, and starts when there is room", async () => {
    {
      // Enough for the record, not for two empty file systems of 76 KiB.
      using _filler = await home.fill(120_000);
      isDiskFull(await home.run(["vm", "create", "--name", "web", ...smallVm]));
      const [vm] = await home.vms();
      assert.equal(vm?.state, "stopped");
      assert.match(vm?.reason ?? "", /no space left/);
      assert.deepEqual(
        readdirSync(join(home.files, "state/vms", vm?.id ?? "")).filter((name) => name.endsWith(".new")),
        [],
      );
    }
    await home.ok(["vm", "start", "web"]);
    assert.equal((await status()).pid, pid);
  });

  test("a disk of the host that is full stops the guest's writes, and lets them go on when there is room", async () => {
    const filler = await home.fill(2 * mib);
    const writing = finished(
      home.start([
        "vm",
        "exec",
        "web",
        "--",
        "dd",
        "if=/dev/urandom",
        "of=/root/data",
        "bs=64k",
        "count=160",
        "conv=fsync",
      ]),
    );
    await until("the log to say that the machine stands still", () =>
      /a machine stands still/.test(readFileSync(join(home.files, "state/bangerd.log"), "utf8")) ? true : undefined,
    ).finally(() => filler[Symbol.dispose]());
    const written = await writing;
    assert.equal(written.code, 0, written.stderr);
    assert.equal(
      (await home.ok(["vm", "exec", "web", "--", "stat", "-c", "%s", "/root/data"])).stdout,
      `${160 * 65536}\n`,
    );
    assert.equal((await status()).pid, pid);
  });

  test("set, rename, label and forward: the error says so, and the VM is as before until there is room", async () => {
    const before = await home.json<VmRecord>(["vm", "show", "web"]);
    const changes = [
      ["vm", "set", "web", "--disk-size", "300M"],
      ["vm", "rename", "web", "other"],
      ["vm", "label", "web", "colour=red"],
      ["vm", "forward", "web", "127.0.0.1:0:80"],
    ];
    {
      using _filler = await home.fill(0);
      for (const change of changes) isDiskFull(await home.run(change));
      const now = await home.json<VmRecord>(["vm", "show", "web"]);
      const facts = ({ name, spec, labels, forwards, state, bootId }: VmRecord) => {
        return { name, spec, labels, forwards, state, bootId };
      };
      assert.deepEqual(facts(now), facts(before));
      assert.deepEqual(await home.json(["vm", "forward", "web", "--list"]), []);
    }
    // The new name comes last: all of them speak of the old one.
    for (const change of changes.toSorted((a, b) => Number(a[1] === "rename") - Number(b[1] === "rename"))) {
      await home.ok(change);
    }
    assert.equal((await home.json<VmRecord>(["vm", "show", "other"])).spec.diskBytes, 300 * mib);
    assert.equal((await status()).pid, pid);
  });

  test("deletion makes room also when there is none to record it", async () => {
    using _filler = await home.fill(0);
    await home.ok(["vm", "delete", "other"]);
    assert.deepEqual(await home.vms(), []);
    assert.ok(home.free() > mib);
    assert.equal((await status()).pid, pid);
  });
});
