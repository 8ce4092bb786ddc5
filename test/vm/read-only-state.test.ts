// A home that cannot be written to any more: the error says so, nothing is damaged, and all goes on once it can be.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { smallVm } from "../support/home.ts";
import { isRunning } from "../support/processes.ts";
import { SmallDiskHome } from "../support/small-disk-home.ts";
import { until } from "../support/until.ts";

describe("a read-only state directory", { concurrency: false }, () => {
  let home: SmallDiskHome;
  before(async () => {
    home = await SmallDiskHome.make({ seeded: true, sizeMib: 256 });
    await home.ok(["vm", "create", "--name", "web", ...smallVm]);
    await home.ok(["vm", "exec", "web", "--", "sh", "-c", "echo mark >/root/marker"]);
    await home.ok(["vm", "stop", "web"]);
  });
  after(() => home[Symbol.asyncDispose]());

  const mount = (...args: string[]) =>
    execFileSync("nsenter", [`--mount=/proc/${home.namespacePid}/ns/mnt`, "mount", ...args]);
  const facts = async () => (await home.vms()).map(({ id, name, state, spec }) => ({ id, name, state, spec }));
  const refused = async (...args: string[]) => {
    const ran = await home.run(args);
    assert.equal(ran.code, 1, ran.stderr);
    assert.match(ran.stderr, /read-only|readonly|EROFS/i);
    assert.doesNotMatch(ran.stderr, /\(internal\)/);
  };

  test("of VMs, under a daemon that runs: verbs are refused, and go through later", async () => {
    const before = await facts();
    const vms = `${home.path}/state/vms`;
    mount("--bind", vms, vms);
    mount("-o", "remount,bind,ro", vms);
    try {
      await refused("vm", "create", "--name", "more", ...smallVm);
      await refused("vm", "start", "web");
      assert.deepEqual(await facts(), before);
    } finally {
      execFileSync("nsenter", [`--mount=/proc/${home.namespacePid}/ns/mnt`, "umount", vms]);
    }
    await home.ok(["vm", "start", "web"]);
    assert.equal((await home.ok(["vm", "exec", "web", "--", "cat", "/root/marker"])).stdout, "mark\n");
    await home.ok(["vm", "stop", "web"]);
  });

  test("for a daemon that starts: it says why it does not, and the next one finds all as it was", async () => {
    const before = await facts();
    const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
    await home.ok(["daemon", "stop"]);
    await until("the daemon to be gone", () => (isRunning(pid) ? undefined : true));
    const state = `${home.path}/state`;
    mount("-o", "remount,bind,ro", state);
    try {
      await refused("vm", "list");
    } finally {
      mount("-o", "remount,bind,rw", state);
    }
    assert.deepEqual(await facts(), before);
    await home.ok(["vm", "start", "web"]);
    assert.equal((await home.ok(["vm", "exec", "web", "--", "cat", "/root/marker"])).stdout, "mark\n");
  });
});
