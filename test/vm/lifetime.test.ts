// VMs that end by themselves: by age, by idleness, not while a command runs in them, and also with another daemon than they began with.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Operation, VmRecord } from "../../src/api/records.ts";
import { finished, Home, smallVm } from "../support/home.ts";

describe("time of a VM", { concurrency: false }, () => {
  let home: Home;
  before(() => {
    home = new Home({ seeded: true });
  });
  after(() => home[Symbol.asyncDispose]());
  const show = (name: string) => home.json<VmRecord>(["vm", "show", name]);
  const waitFor = (name: string, state: string) => home.ok(["vm", "wait", name, "--for", state, "--timeout", "60s"]);

  test("an idle VM is paused, after its command has ended, and wakes up as it was", async () => {
    await home.ok(["vm", "create", "--name", "idle", "--idle-timeout", "8s", "--on-end", "pause", ...smallVm]);
    await home.ok(["vm", "exec", "idle", "--", "sh", "-c", "echo kept > /run/mark"]);
    await waitFor("idle", "paused");
    const [operation] = (await home.json<Operation[]>(["operation", "list"])).filter(({ kind }) => kind === "vm.pause");
    assert.deepEqual([operation?.target, operation?.error], ["idle", null]);
    await home.ok(["vm", "resume", "idle"]);
    assert.equal((await home.ok(["vm", "exec", "idle", "--", "cat", "/run/mark"])).stdout, "kept\n");
    const used = (await show("idle")).lastUsedAt ?? 0;
    assert.ok(used > 0 && used <= Date.now());
    await home.ok(["vm", "delete", "idle"]);
  });

  test("a VM whose age ends is deleted, by the next daemon when its own was killed; touch gives it more time", async () => {
    await home.ok(["vm", "create", "--name", "old", "--ttl", "1h", "--on-end", "delete", ...smallVm]);
    const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
    const shorter = await home.json<VmRecord>(["vm", "touch", "old", "--ttl", "4s"]);
    assert.ok((shorter.lifetime?.ttlMs ?? 0) < 3_600_000);
    process.kill(pid, "SIGKILL");
    const gone = finished(home.start(["vm", "wait", "old", "--for", "deleted", "--timeout", "60s"]));
    const { code, stderr } = await gone;
    // It may have gone before the wait began.
    assert.ok(code === 0 || stderr.includes("vm.not-found"), stderr);
    assert.deepEqual(await home.vms(), []);
  });

  test("--on-end needs a time", async () => {
    const ran = await home.run(["vm", "create", "--on-end", "delete"]);
    assert.match(ran.stderr, /--on-end needs --ttl or --idle-timeout \(usage\)/);
  });
});
