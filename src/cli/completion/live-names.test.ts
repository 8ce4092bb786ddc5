// Names for completion: of each kind, only those that a shell takes as they are, and none when the daemon is silent.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../../sdk/client.ts";
import type { CliContext } from "../context.ts";
import { fakeSnapshot, fakeTemplate, runFake } from "../testing/run-fake.ts";
import { fakeVm } from "../../api/testdata/vm-record.ts";
import { liveNames } from "./live-names.ts";

const answers: Record<string, unknown> = {
  "vm.list": { vms: [fakeVm("web"), fakeVm("a b")] },
  "snapshot.list": { snapshots: [fakeSnapshot("ready"), fakeSnapshot("$(x)")] },
  "template.list": { templates: [fakeTemplate("a")] },
};
const client = { call: async (name: string) => answers[name], async [Symbol.asyncDispose]() {} } as unknown as Client;
const connect: CliContext["connect"] = async (options) => {
  assert.equal(options?.autoStart, false, "completion starts no daemon");
  return client;
};

test("VMs, snapshots, templates", async () => {
  assert.deepEqual(await liveNames(connect, "vm"), ["web"]);
  assert.deepEqual(await liveNames(connect, "snapshot"), ["ready"]);
  assert.deepEqual(await liveNames(connect, "vm-or-snapshot"), ["web", "ready"]);
  assert.deepEqual(await liveNames(connect, "template"), ["a".repeat(12)]);
  assert.deepEqual(await liveNames(connect, "image"), [], "no answer is no name");
});

test("words that a value can be", async () => {
  const proposed = async (...words: string[]) => (await runFake(["__complete", ...words])).stdout.trimEnd().split("\n");
  assert.deepEqual(await proposed("vm", "list", "--filter", "state=s"), [
    "state=starting",
    "state=stopping",
    "state=stopped",
  ]);
  assert.deepEqual(await proposed("vm", "set", "box", "--network", "o"), ["open"]);
  assert.deepEqual(await proposed("dns", "setup", "--resolver", "d"), ["dnsmasq"]);
});

test("each command asks for what it takes", async () => {
  const proposed = async (...words: string[]) => (await runFake(["__complete", ...words, ""])).stdout.split("\n")[0];
  assert.equal(await proposed("vm", "pause"), "vm-one");
  assert.equal(await proposed("vm", "fork"), "vm-or-snapshot-one");
  assert.equal(await proposed("vm", "restore", "box"), "snapshot-one");
  assert.equal(await proposed("vm", "snapshot", "create"), "vm-one");
  assert.equal(await proposed("vm", "snapshot", "list"), "vm-one");
  assert.equal(await proposed("vm", "snapshot", "delete"), "snapshot-one");
  assert.equal(await proposed("vm", "run", "--warm-from"), "snapshot-one");
  assert.equal(await proposed("template", "show"), "template-one");
  assert.equal(await proposed("image", "warm"), "image-one");
});
