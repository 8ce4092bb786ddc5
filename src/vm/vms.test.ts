// Verbs that meet on one VM: what ends it wins, and the record tells the truth afterwards. Machines and guests are made up.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { ensurePaths, resolvePaths } from "../config/paths.ts";
import type { GuestAgent } from "../guest/agent.ts";
import { BangerError } from "../lib/errors.ts";
import { quietProgress } from "../lib/progress.ts";
import { openState, type State } from "../state/open.ts";
import { addParts } from "../state/testdata/rows.ts";
import type { Machine, MachineExit } from "../vmm/driver.ts";
import { vmParts } from "./testdata/parts.ts";
import { Vms } from "./vms.ts";

let root: string;
let state: State;
let vms: Vms;
let launches: number;
/** Of the machine that was launched last. */
let exit: PromiseWithResolvers<MachineExit>;
/** Resolved when the guest was asked to shut down; it never does. */
let asked: PromiseWithResolvers<void>;
/** Why the channels to guests broke, in the order of the sessions. */
let whys: (() => Promise<BangerError | undefined>)[];
const quiet = () => quietProgress(new AbortController().signal);
const never = new Promise<never>(() => {});

function launch(vmId: string): Machine {
  launches++;
  exit = Promise.withResolvers();
  const mine = exit;
  return {
    vmId,
    pid: 1,
    exited: mine.promise,
    controlChannel: async () => ({}),
    kill: async () => mine.resolve({ reason: "killed", expected: true }),
    async [Symbol.asyncDispose]() {},
  } as unknown as Machine;
}

const agent = {
  closed: never,
  hello: async () => ({ bootId: "b", readyUptimeMs: 1, phase: "waiting", vmId: "" }),
  configure: async () => [],
  end() {},
  whenLost: (why: (typeof whys)[number]) => whys.push(why),
  async shutdown() {
    asked.resolve();
    await exit.promise;
    throw new BangerError("guest.unreachable", "the guest's channel closed");
  },
  async [Symbol.asyncDispose]() {},
} as unknown as GuestAgent;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-vms-"));
  const paths = resolvePaths({ BANGER_HOME: root });
  await ensurePaths(paths);
  state = openState(paths.databaseFile);
  launches = 0;
  whys = [];
  asked = Promise.withResolvers();
  addParts(state);
  const driver = {
    launch: async ({ vmId }: { vmId: string }) => launch(vmId),
    shape: async () => "shape",
    list: async () => new Map(),
    find: () => Promise.reject(new Error("its files cannot be read")),
  };
  vms = new Vms(vmParts(paths, state, { driver, connectGuest: async () => agent }));
});
afterEach(async () => {
  await vms.close();
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

test("a kill during a restart ends both: the VM does not come up again", async () => {
  await vms.create({ name: "one" }, quiet());
  const restarted = vms.restart("one", {}, quiet());
  await asked.promise;
  const killed = vms.kill("one", { signal: new AbortController().signal });
  await assert.rejects(restarted, { code: "cancelled" });
  assert.equal((await killed).state, "stopped");
  assert.equal(launches, 1);
});

const verbs: [string, () => Promise<unknown>, told: string][] = [
  ["killed", () => vms.kill("one", { signal: quiet().signal }), "was ended; banger vm start one"],
  ["deleted", () => vms.delete("one", quiet()), "was deleted; banger vm list"],
  ["stopped", () => vms.stop("one", quiet()), "was stopped; banger vm start one"],
  ["stopped in time", () => vms.stop("one", quiet(), { reason: "late" }), "was stopped: late; banger vm start one"],
  ["restarted", () => vms.restart("one", {}, quiet()), "was restarted; banger vm wait one  # until it runs again"],
];
for (const [what, verb, told] of verbs) {
  test(`calls to the guest of a VM that is ${what} are told so`, async () => {
    await vms.create({ name: "one" }, quiet());
    void asked.promise.then(() => exit.resolve({ reason: "the guest powered off", expected: true }));
    await verb();
    const why = await whys[0]?.();
    assert.deepEqual([why?.code, `${why?.message}; ${why?.hint}`], ["guest.unreachable", `VM "one" ${told}`]);
  });
}

test("calls to the guest of a VM that ends by itself are told why", async () => {
  const { id } = await vms.create({ name: "one" }, quiet());
  exit.resolve({ reason: "the VMM was killed by SIGKILL", expected: false });
  await vms.wait(id, "stopped", { signal: quiet().signal });
  const why = await whys[0]?.();
  assert.equal(why?.message, 'VM "one" has ended: the VMM was killed by SIGKILL');
  assert.equal(why?.hint, "banger vm start one");
});

test("who waits for a guest is told of a delete as such, and waits on through a restart", async () => {
  const wait = () => vms.wait("one", "exec", { signal: quiet().signal });
  await vms.create({ name: "one" }, quiet());
  const forDeleted = assert.rejects(wait(), { code: "vm.not-found", message: 'VM "one" was deleted' });
  await vms.delete("one", quiet());
  await forDeleted;

  await vms.create({ name: "one" }, quiet());
  void asked.promise.then(() => exit.resolve({ reason: "the guest powered off", expected: true }));
  const waiting = wait();
  waiting.catch(() => {});
  await vms.restart("one", {}, quiet());
  assert.equal(await Promise.race([waiting.catch((error: unknown) => error), Promise.resolve("waits")]), "waits");
  await vms.kill("one", { signal: quiet().signal });
  await assert.rejects(waiting, { code: "vm.wrong-state", message: /is stopped: it will not reach exec/ });
});

test("a kill whose client goes away leaves no record of a machine that runs", async () => {
  const { id } = await vms.create({ name: "one" }, quiet());
  const stopped = vms.stop("one", quiet());
  await asked.promise;
  const gone = new AbortController();
  const killed = vms.kill("one", { signal: gone.signal });
  gone.abort(new BangerError("cancelled", "the client went away"));
  await killed.catch(() => {});
  assert.equal((await stopped).state, "stopped");
  assert.equal(vms.show(id).pid, null);
});

test("verbs that waited for a VM that is deleted meanwhile say so", async () => {
  await vms.create({ name: "one" }, quiet());
  const restarted = vms.restart("one", {}, quiet());
  await asked.promise;
  const deleted = vms.delete("one", quiet());
  const started = vms.start("one", {}, quiet());
  await assert.rejects(restarted, { code: "cancelled" });
  await deleted;
  await assert.rejects(started, { code: "vm.not-found", message: 'VM "one" was deleted' });
  assert.deepEqual(vms.list(), []);
});

test("a VM that cannot be recovered is broken, and keeps no daemon from starting", async () => {
  const { id } = await vms.create({ name: "one" }, quiet());
  await vms.recover({ signal: new AbortController().signal });
  assert.equal(vms.show(id).state, "broken");
  assert.equal(vms.show(id).reason, "its files cannot be read");
});
