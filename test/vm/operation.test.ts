// Operations belong to the daemon: they go on without the client that began them, anybody can follow them, and a cancelled one is undone.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Operation, VmRecord } from "../../src/api/records.ts";
import { finished, Home, smallVm } from "../support/home.ts";
import { stageSeen } from "../support/stages.ts";

describe("operations", { concurrency: false }, () => {
  let home: Home;
  before(() => {
    home = new Home({ seeded: true });
  });
  after(() => home[Symbol.asyncDispose]());

  const newest = async (kind: string) => {
    const operations = await home.json<Operation[]>(["operation", "list"]);
    const found = operations.find((operation) => operation.kind === kind);
    assert.ok(found !== undefined, `no operation ${kind}`);
    return found;
  };
  const vmms = () => home.processes().filter(({ command }) => command.includes("qemu-system"));

  test("a client that was killed can be followed by another one, to the end and after it", async () => {
    const child = home.start(["vm", "create", "--name", "orphan", "--cold", ...smallVm]);
    const ended = finished(child);
    await stageSeen(child, "boot");
    child.kill("SIGKILL");
    await ended;
    const { id, done } = await newest("vm.create");
    assert.equal(done, false);
    const watched = await home.ok(["operation", "watch", id]);
    assert.match(watched.stderr, /: done/);
    assert.equal((await home.ok(["vm", "exec", "orphan", "--", "echo", "here"])).stdout, "here\n");
    await home.ok(["daemon", "stop"]);
    const kept = await home.json<Operation>(["operation", "watch", id]);
    assert.deepEqual([kept.done, kept.error, (kept.result as VmRecord).name], [true, null, "orphan"]);
  });

  test("a start that is cancelled from outside is undone: no VMM, the VM as it was", async () => {
    await home.ok(["vm", "stop", "orphan"]);
    const child = home.start(["vm", "start", "orphan", "--cold"]);
    const ended = finished(child);
    await stageSeen(child, "boot");
    const { id } = await newest("vm.start");
    await home.ok(["operation", "cancel", id]);
    const watched = await home.run(["operation", "watch", id]);
    assert.equal(watched.code, 1);
    assert.match(watched.stderr, /\(cancelled\)/);
    const ran = await ended;
    assert.equal(ran.code, 1, "whoever began it is told, too");
    assert.match(ran.stderr, /\(cancelled\)/);
    assert.deepEqual(vmms(), []);
    assert.equal((await home.json<VmRecord>(["vm", "show", "orphan"])).state, "stopped");
    assert.match((await home.ok(["operation", "cancel", id])).stderr, /had already ended/);
    await home.ok(["vm", "start", "orphan"]);
    assert.equal((await home.ok(["vm", "exec", "orphan", "--", "echo", "again"])).stdout, "again\n");
  });

  test("a VM that is made for its client only goes when its creation is cancelled", async () => {
    const before = await home.json<unknown[]>(["vm", "list", "--all"]);
    const client = home.start(["vm", "run", "--rm", "--cold", "--name", "brief", ...smallVm, "--", "true"]);
    const ended = finished(client);
    await stageSeen(client, "boot");
    const { id } = await newest("vm.create");
    await home.ok(["operation", "cancel", id]);
    assert.notEqual((await ended).code, 0);
    assert.equal((await home.json<Operation>(["operation", "show", id])).error?.code, "cancelled");
    assert.equal((await home.json<unknown[]>(["vm", "list", "--all"])).length, before.length);
    assert.equal(vmms().length, 1);
  });

  test("nothing stays of a creation that is cancelled as an operation", async () => {
    const before = await home.json<unknown[]>(["vm", "list", "--all"]);
    const client = home.start(["vm", "create", "--cold", "--name", "unwanted", ...smallVm]);
    const ended = finished(client);
    await stageSeen(client, "boot");
    const { id } = await newest("vm.create");
    await home.ok(["operation", "cancel", id]);
    const { code, stderr } = await ended;
    assert.notEqual(code, 0);
    assert.doesNotMatch(stderr, /vm logs unwanted/);
    assert.equal((await home.json<unknown[]>(["vm", "list", "--all"])).length, before.length);
    assert.equal(vmms().length, 1);
  });
});
