// Pause, resume, restore and fork: what reaches the daemon, and what stands on stdout and stderr.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runFake, vmNotFound } from "../../testing/run-fake.ts";
import { fakeVm } from "../../../api/testdata/vm-record.ts";

type Params = Record<string, unknown>;
const known = new Map(["web", "db"].flatMap((name) => [name, `id-${name}`].map((key) => [key, fakeVm(name)] as const)));
const changed = (state: "paused" | "running") => (params: Params) => ({ ...known.get(String(params["vm"])), state });
const replies = {
  "vm.show": ({ vm }: Params) => known.get(String(vm)) ?? vmNotFound(vm),
  "vm.pause": changed("paused"),
  "vm.resume": changed("running"),
  "vm.start": changed("running"),
  "vm.restart": changed("running"),
  "vm.restore": () => fakeVm("web"),
  "vm.fork": () => ({ vms: [fakeVm("try-1"), fakeVm("try-2")], pausedMs: 41.3 }),
};
const run = (...words: string[]) => runFake(["vm", ...words], { replies });
const sent = (calls: { name: string; params: Params }[], name: string) =>
  calls.filter((call) => call.name === name).map((call) => call.params);

describe("vm pause, vm resume", () => {
  test("each VM once, by its id; what is missing does not hold up the rest", async () => {
    for (const verb of ["pause", "resume"]) {
      const ran = await run(verb, "web", "nope", "db", "id-web");
      assert.equal(ran.code, 1);
      assert.equal(ran.stdout, "web\ndb\n");
      assert.match(ran.stderr, /there is no VM "nope" \(vm\.not-found\)/);
      assert.deepEqual(sent(ran.calls, `vm.${verb}`), [{ vm: "id-web" }, { vm: "id-db" }]);
    }
  });

  test("--keep-running is passed on; --quiet prints ids; --json the records", async () => {
    const quiet = await run("pause", "--keep-running", "-q", "web");
    assert.equal(quiet.stdout, "id-web\n");
    assert.equal(quiet.stderr, "");
    assert.deepEqual(sent(quiet.calls, "vm.pause"), [{ vm: "id-web", keepRunning: true }]);
    const records = JSON.parse((await run("pause", "--json", "web")).stdout) as unknown;
    assert.deepEqual(records, [{ ...fakeVm("web"), state: "paused" }]);
  });

  test("without a VM: usage", async () => {
    assert.match((await run("pause")).stderr, /missing argument <vm> \(usage\)\nbanger: usage: banger vm pause/);
    assert.equal((await run("resume")).code, 2);
  });
});

test("vm start and vm restart pass --cold on, and nothing when it was not said", async () => {
  for (const verb of ["start", "restart"]) {
    const cold = await run(verb, "--cold", "web");
    assert.deepEqual(sent(cold.calls, `vm.${verb}`), [{ vm: "id-web", cold: true }]);
    assert.deepEqual(sent((await run(verb, "web")).calls, `vm.${verb}`), [{ vm: "id-web" }]);
  }
});

test("vm restore names VM and snapshot, and prints the VM", async () => {
  const ran = await run("restore", "web", "before");
  assert.deepEqual([ran.code, ran.stdout], [0, "web\n"]);
  assert.deepEqual(sent(ran.calls, "vm.restore"), [{ vm: "web", snapshot: "before" }]);
  assert.equal((await run("restore", "-q", "web", "before")).stdout, "id-web\n");
  assert.deepEqual(JSON.parse((await run("restore", "--json", "web", "before")).stdout), fakeVm("web"));
  const off = { "vm.restore": () => fakeVm("web", { state: "stopped" }) };
  assert.match(
    (await runFake(["vm", "restore", "web", "disks"], { replies: off })).stderr,
    /^next: banger vm start web$/m,
  );
  assert.match((await run("restore", "web")).stderr, /missing argument <snapshot>/);
});

test("a VM that booted although it should have gone on is told, unless that was asked for", async () => {
  const lastStart = { kind: "cold", reason: "another processor", phases: [], totalMs: 1, at: 1 } as const;
  const booted = fakeVm("web", { lastStart: { ...lastStart, phases: [] } });
  const told = async (...words: string[]) => {
    const again = {
      ...replies,
      ...Object.fromEntries(
        ["start", "restart", "resume", "restore", "create"].map((verb) => [`vm.${verb}`, () => booted]),
      ),
      "vm.fork": () => ({ vms: [booted], pausedMs: 0 }),
    };
    return (await runFake(["vm", ...words], { replies: again })).stderr.includes(
      "web: booted instead: another processor\n",
    );
  };
  for (const verb of ["start", "restart", "resume", "fork"]) assert.equal(await told(verb, "web"), true, verb);
  assert.equal(await told("restore", "web", "ready"), true);
  assert.equal(await told("create", "--warm-from", "ready"), true);
  assert.equal(await told("start", "--cold", "web"), false);
  assert.equal(await told("create", "--cold"), false);
  assert.equal(await told("pause", "web"), false);
});

describe("vm fork", () => {
  test("names on stdout; on stderr how long the source stood still and what comes next", async () => {
    const ran = await run("fork", "web", "--count", "2", "--name", "try");
    assert.equal(ran.stdout, "try-1\ntry-2\n");
    assert.match(ran.stderr, /^web: stood still for 41 ms\nnext: banger vm exec try-1 -- <command>\n$/m);
    assert.deepEqual(sent(ran.calls, "vm.fork"), [{ source: "web", count: 2, name: "try" }]);
  });

  test("what was not said is not sent; --quiet prints ids alone; --json the whole result", async () => {
    const quiet = await run("fork", "-q", "web");
    assert.deepEqual([quiet.stdout, quiet.stderr], ["id-try-1\nid-try-2\n", ""]);
    assert.deepEqual(sent(quiet.calls, "vm.fork"), [{ source: "web" }]);
    const json = JSON.parse((await run("fork", "web", "--json")).stdout) as unknown;
    assert.deepEqual(json, { vms: [fakeVm("try-1"), fakeVm("try-2")], pausedMs: 41.3 });
  });

  test("of a snapshot nothing stood still", async () => {
    const forked = { vms: [fakeVm("idea")], pausedMs: 0 };
    const ran = await runFake(["vm", "fork", "ready"], { replies: { "vm.fork": () => forked } });
    assert.doesNotMatch(ran.stderr, /stood still/);
    assert.match(ran.stderr, /^next: banger vm exec idea/m);
  });

  test("a count that is none is a usage error", async () => {
    const ran = await run("fork", "web", "--count", "many");
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /--count "many" is not a whole number/);
    for (const count of ["0", "101"]) {
      const far = await run("fork", "web", "--count", count);
      assert.deepEqual([far.code, far.calls], [2, []]);
      assert.match(far.stderr, /is not possible: write 1 to 100 \(usage\)\nbanger: usage: banger vm fork/);
    }
    assert.match((await run("fork")).stderr, /missing argument <vm\|snapshot>/);
  });
});
