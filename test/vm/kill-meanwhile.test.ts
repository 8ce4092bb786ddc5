// A VM that is killed or deleted while something else is done with it, or while it is made out of another one: what was under way says that
// the VM was ended, and nothing is left of it. BANGER_KILL_SEED=<number> repeats a run as far as chance allows, SOAK_SECONDS=<number> goes on for that long.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { toBangerError } from "../../src/lib/errors.ts";
import { pick, randomFrom } from "../../src/lib/testdata/fuzz.ts";
import { mib } from "../../src/lib/units.ts";
import type { Client } from "../../src/sdk/client.ts";
import { checkAfterCrash, makeWitnesses, type Witnesses } from "../support/after-crash.ts";
import { CrashHome, smallSpec } from "../support/crash-home.ts";
import { finished } from "../support/home.ts";
import { until } from "../support/until.ts";

const seed = Number(process.env["BANGER_KILL_SEED"] ?? Date.now() % 1_000_000);
const soakSeconds = Number(process.env["SOAK_SECONDS"] ?? 0);
const rounds = 3;
const networks = ["none", "locked", "balanced"] as const;
const random = randomFrom(seed);

let home: CrashHome;
let witnesses: Witnesses;
before(async () => {
  home = new CrashHome();
  witnesses = await makeWitnesses(home);
});
after(() => home[Symbol.asyncDispose]());

const endedWhileStarting = 'VM "twin" was ended while it was starting';

interface Verb {
  from: "running" | "stopped" | "paused";
  /** About how long it takes, in milliseconds: the kill comes at a random instant of it. */
  withinMs: number;
  run: (client: Client) => Promise<unknown>;
}

const vm = "box";
const verbs: Record<string, Verb> = {
  start: { from: "stopped", withinMs: 700, run: (client) => client.operate("vm.start", { vm }) },
  restart: { from: "running", withinMs: 900, run: (client) => client.operate("vm.restart", { vm }) },
  stop: { from: "running", withinMs: 500, run: (client) => client.operate("vm.stop", { vm }) },
  pause: { from: "running", withinMs: 300, run: (client) => client.operate("vm.pause", { vm }) },
  resume: { from: "paused", withinMs: 300, run: (client) => client.operate("vm.resume", { vm }) },
  "pause and resume, with the memory kept": {
    from: "running",
    withinMs: 80,
    run: async (client) => {
      await client.operate("vm.pause", { vm, keepRunning: true });
      await client.operate("vm.resume", { vm });
    },
  },
  snapshot: { from: "running", withinMs: 300, run: (client) => client.operate("snapshot.create", { vm }) },
  fork: { from: "running", withinMs: 500, run: (client) => client.operate("vm.fork", { source: vm }) },
  "another network": {
    from: "running",
    withinMs: 300,
    run: (client) => client.call("net.set", { vm, change: { use: pick(random, networks) } }),
  },
  "a larger disk": {
    from: "running",
    withinMs: 60,
    run: async (client) => {
      const { spec } = await client.call("vm.show", { vm });
      await client.operate("vm.set", { vm, diskBytes: spec.diskBytes + mib });
    },
  },
};

for (const [name, verb] of Object.entries(verbs)) {
  test(`a VM is ended during: ${name} (seed ${seed})`, async () => {
    const endsAt = performance.now() + soakSeconds * 1000;
    for (let round = 0; round < rounds || performance.now() < endsAt; round++) await endDuring(verb, round % 3 === 2);
  });
}

async function endDuring({ from, withinMs, run }: Verb, deleted: boolean): Promise<void> {
  const { client } = home;
  if ((await home.find(vm)) === undefined) {
    await client.operate("vm.create", { name: vm, ...smallSpec, network: { use: pick(random, networks) } });
  }
  const { id } = await home.ensure(vm, from);
  const outcome = run(client).then(
    () => undefined,
    (error: unknown) => toBangerError(error),
  );
  // It may come before the verb has begun and after it has ended, too.
  await delay(random(withinMs));
  await (deleted ? client.operate("vm.delete", { vm: id }) : client.call("vm.kill", { vm: id }));
  const error = await outcome;
  if (error !== undefined) assert.match(error.code, /^(?:cancelled|vm\.(?:wrong-state|not-found))$/, error.message);
  const now = await home.find(vm);
  assert.deepEqual(
    [now?.state, now?.reason, now?.pid],
    deleted ? [undefined, undefined, undefined] : ["stopped", "", null],
  );
  const { snapshots } = await client.call("snapshot.list", {});
  for (const { id: snapshot } of snapshots) await client.call("snapshot.delete", { snapshot });
  for (const { name } of await home.records()) if (name.startsWith(`${vm}-fork`)) await home.remove(name);
  await checkAfterCrash(home, witnesses);
}

test(`a fork is ended while it is made (seed ${seed})`, async () => {
  const { client } = home;
  const endsAt = performance.now() + soakSeconds * 1000;
  for (let round = 0; round < 2 * rounds || performance.now() < endsAt; round++) {
    const source = await home.ensure(vm, "running");
    const outcome = client.operate("vm.fork", { source: vm, name: "twin" }).then(
      () => undefined,
      (error: unknown) => toBangerError(error),
    );
    const { id } = await until("the fork's record", async () => await home.find("twin"));
    await delay(random(100));
    // When it is nearly there it may be gone by itself, as its fork has failed.
    const ending = round % 2 === 0 ? client.operate("vm.delete", { vm: id }) : client.call("vm.kill", { vm: id });
    await ending.catch((error: unknown) => assert.equal(toBangerError(error).code, "vm.not-found"));
    const error = await outcome;
    if (error !== undefined) assert.deepEqual([error.code, error.message], ["cancelled", endedWhileStarting]);
    await home.remove("twin");
    const now = await home.find(vm);
    assert.deepEqual([now?.state, now?.pid], ["running", source.pid]);
    assert.equal(await home.output(vm, "echo", "here"), "here");
    await checkAfterCrash(home, witnesses);
  }
});

test("a command in a VM that is ended says why it ended", async () => {
  await home.ensure(vm, "running");
  const sleeping = home.start(["vm", "exec", vm, "--", "sh", "-c", "touch /root/up; exec sleep 1000"]);
  const ended = finished(sleeping);
  await until("the command to run", async () => {
    return (await home.output(vm, "sh", "-c", "ls /root/up || true")) === "/root/up" ? true : undefined;
  });
  await home.client.call("vm.kill", { vm });
  const { code, stderr } = await ended;
  assert.equal(code, 1);
  assert.match(stderr, /VM "box" was ended \(guest\.unreachable\)/);
});
