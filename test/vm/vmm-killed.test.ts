// The VMM of a VM is killed at random instants, idle or in the middle of a verb: the daemon lives on, says what happened, and the VM
// can be started again with what it had. BANGER_KILL_SEED=<number> repeats a run as far as chance allows.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BangerError } from "../../src/lib/errors.ts";
import { pick, randomFrom } from "../../src/lib/testdata/fuzz.ts";
import type { Client } from "../../src/sdk/client.ts";
import { checkAfterCrash, makeWitnesses, type Witnesses } from "../support/after-crash.ts";
import { CrashHome } from "../support/crash-home.ts";
import { until } from "../support/until.ts";

const seed = Number(process.env["BANGER_KILL_SEED"] ?? Date.now() % 1_000_000);
const rounds = 24;
const longestMs = 500;
/** What a verb may end with whose machine has gone; never with a bug. */
const clear =
  /^(?:cancelled|vm\.(?:wrong-state|boot-failed|broken)|vmm\.failed|guest\.(?:unreachable|failed)|snapshot\.failed|exec\.failed)$/;

let home: CrashHome;
let witnesses: Witnesses;
before(async () => {
  home = new CrashHome();
  witnesses = await makeWitnesses(home);
});
after(() => home[Symbol.asyncDispose]());

const verbs: ((client: Client) => Promise<unknown>)[] = [
  () => home.output("box", "sleep", "1000"),
  (client) => client.operate("vm.pause", { vm: "box" }),
  (client) => client.operate("vm.pause", { vm: "box", keepRunning: true }),
  (client) => client.operate("snapshot.create", { vm: "box" }),
  (client) => client.operate("vm.fork", { source: "box", name: "twin" }),
  (client) => client.operate("vm.stop", { vm: "box" }),
  (client) => client.operate("vm.restart", { vm: "box" }),
];

test(`a VMM that is killed at random instants (seed ${seed})`, async (context) => {
  const random = randomFrom(seed);
  const { client } = home;
  const { pid: daemon } = await client.call("daemon.status", {});
  for (let round = 0; round < rounds; round++) {
    const { pid } = await home.ensure("box", "running");
    const verb = pick(random, verbs)(client).catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, random(longestMs)));
    try {
      process.kill(pid ?? 0, "SIGKILL");
    } catch {
      // The verb has ended it.
    }
    const outcome = await verb;
    if (outcome instanceof BangerError) assert.match(outcome.code, clear, `seed ${seed}: ${outcome.message}`);
    else assert.ok(!(outcome instanceof Error) || outcome instanceof assert.AssertionError, String(outcome));
    const state = await until("the VM to be in a state that it stays in", async () => {
      const vm = await home.find("box");
      return vm?.pid === pid || vm?.state === "stopping" ? undefined : vm?.state;
    });
    assert.ok(["running", "paused", "stopped"].includes(state), state);
    await home.remove("twin");
    await checkAfterCrash(home, witnesses);
  }
  const box = await home.ensure("box", "running");
  assert.equal(await home.readMark("box"), box.id);
  assert.equal((await client.call("daemon.status", {})).pid, daemon);
  context.diagnostic(`seed: ${seed}, kills of VMMs: ${rounds}, leaks: ${home.leaks}`);
});
