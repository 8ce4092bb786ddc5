// daemon status: of this daemon, and of one that is older than the program that asks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runFake } from "../../testing/run-fake.ts";

const old = {
  ...{ version: "0.1.0", commit: "c", builtAt: 0, pid: 7, startedAt: 0, socket: "/s", stateDir: "/d", log: "/l" },
  ...{ vmsRunning: 1, operationsRunning: 0, sessionsOpen: 0, residentBytes: 1024 },
};
const status = async (reply: object) => {
  const ran = await runFake(["daemon", "status"], { replies: { "daemon.status": () => reply } });
  assert.equal(ran.code, 0, ran.stderr);
  return ran.stdout;
};

test("names of VMs, where the daemon tells of them", async () => {
  const dns = { server: "127.0.0.1", port: 5354, listening: true, problem: "" };
  assert.match(await status({ ...old, dns }), /^names +<vm>\.vm on 127\.0\.0\.1:5354$/m);
  assert.match(await status({ ...old, dns: { ...dns, listening: false, problem: "taken" } }), /^names +no: taken$/m);
  const before = await status(old);
  assert.doesNotMatch(before, /^names/m);
  assert.match(before, /^vms running +1$/m);
});
