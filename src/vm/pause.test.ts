// What a pause and a resume do in which order, what is left when any step fails, and what the next daemon makes of it. Machines and
// guests are made up; the files are real.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { ensurePaths, resolvePaths, type Paths } from "../config/paths.ts";
import type { GuestAgent } from "../guest/agent.ts";
import { BangerError } from "../lib/errors.ts";
import { quietProgress } from "../lib/progress.ts";
import { openState, type State } from "../state/open.ts";
import { addParts } from "../state/testdata/rows.ts";
import type { Driver, Machine } from "../vmm/driver.ts";
import { FakeMachine } from "./testdata/fake-machine.ts";
import { vmParts } from "./testdata/parts.ts";
import { Vms } from "./vms.ts";

const quiet = () => quietProgress(new AbortController().signal);
const signal = new AbortController().signal;

let root: string;
let paths: Paths;
let state: State;
let vms: Vms;
let dir: string;
let steps: string[];
/** Called at each step; may throw. */
let at: (name: string) => void;
/** The VMM that runs now, also when no daemon knows it. */
let machine: FakeMachine;
let shape: string;
const step = (name: string) => {
  steps.push(name);
  at(name);
};
const activeDisks = () => {
  at("ask for disks");
  return new Map([["overlay", join(dir, "overlay.ext4")]]);
};

const never = new Promise<never>(() => {});
const answers = () => {
  if (!machine.alive) throw new BangerError("guest.unreachable", "the guest's channel closed");
};
const agent = {
  closed: never,
  end: ({ message, hint }: BangerError) => step(`end session: ${message}; ${hint}`),
  whenLost() {},
  hello: async () => {
    assert.ok(machine.cpus, "a guest whose CPUs stand still does not answer");
    step("hello");
    return {
      bootId: "b",
      readyUptimeMs: 1,
      phase: machine.phase,
      vmId: machine.phase === "waiting" ? "" : machine.vmId,
    };
  },
  configure: async () => {
    machine.phase = "running";
    return [];
  },
  async freeze({ sync }: { sync: boolean }) {
    step(`freeze${sync ? " and sync" : ""}`);
    answers();
    machine.phase = "frozen";
  },
  async thaw() {
    assert.ok(machine.cpus);
    step("thaw");
    answers();
    machine.phase = "running";
    return [];
  },
  async shutdown() {
    assert.equal(machine.phase, "running");
    step("shutdown");
    machine.alive = false;
    machine.exit.resolve({ reason: "the guest powered off", expected: true });
  },
  async [Symbol.asyncDispose]() {},
} as unknown as GuestAgent;

/** A daemon of this home: the former one is dead, the VMM and the files are as they were. */
function daemon(): Vms {
  if (state.images.list().length === 0) addParts(state);
  const made = (vmId: string) => {
    machine = new FakeMachine(vmId, step, activeDisks);
    return machine as unknown as Machine;
  };
  const driver: Partial<Driver> = {
    launch: async ({ vmId }) => made(vmId),
    restore: async ({ vmId }, { memoryFile, stateFile }) => {
      step("restore");
      assert.ok(existsSync(memoryFile) && existsSync(stateFile));
      const restored = made(vmId);
      machine.cpus = false;
      machine.phase = "frozen";
      return { machine: restored, timings: { spawnMs: 1, loadMs: 2 } };
    },
    shape: async () => shape,
    list: async () => new Map(machine?.alive ? [[machine.vmId, machine.pid]] : []),
    find: async () => (machine.alive ? (machine as unknown as Machine) : undefined),
    killOrphan: async () => machine.kill(),
  };
  return new Vms(vmParts(paths, state, { driver, connectGuest: async () => agent }));
}

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-pause-"));
  paths = resolvePaths({ BANGER_HOME: root });
  await ensurePaths(paths);
  state = openState(paths.databaseFile);
  shape = "shape";
  at = () => {};
  steps = [];
  vms = daemon();
  dir = (await vms.create({ name: "box" }, quiet())).dir;
  steps = [];
});
afterEach(async () => {
  at = () => {};
  await vms.close();
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

const show = () => vms.show("box");
const files = () => readdirSync(dir).filter((name) => name.startsWith("paused"));
const runsOn = () => {
  assert.deepEqual([show().state, machine.alive, machine.cpus, machine.phase], ["running", true, true, "running"]);
  assert.deepEqual(files(), []);
};
const failing = (name: string) => (now: string) => {
  if (now === name) throw new BangerError("disk.full", `no room at "${name}"`);
};
const pause = (keepRunning = false) => vms.pause("box", { keepRunning }, quiet());
const resume = () => vms.resume("box", quiet());
describe("pause", () => {
  test("copies while the guest runs, then freezes, stops, captures, and ends the VMM", async () => {
    const record = await pause();
    const told = 'end session: VM "box" was paused; banger vm resume box';
    const expected = ["begin capture", "freeze and sync", "stop CPUs", "finish capture", "kill", told];
    assert.deepEqual(steps, expected);
    assert.deepEqual([record.state, record.pid, record.reason], ["paused", null, ""]);
    assert.deepEqual(readdirSync(join(dir, "paused")).toSorted(), ["memory.img", "pause.json", "state.bin"]);
    await new Promise(setImmediate);
    assert.equal(show().state, "paused");
  });

  for (const name of ["begin capture", "freeze and sync", "stop CPUs", "finish capture"]) {
    test(`a failure at "${name}" leaves the VM running and no file`, async () => {
      at = failing(name);
      await assert.rejects(pause(), { code: "disk.full" });
      runsOn();
      at = () => {};
      await pause();
      assert.equal(show().state, "paused");
    });
  }

  test("a cancellation before the record says paused leaves the VM running", async () => {
    const cancel = new AbortController();
    at = (name) => name === "finish capture" && cancel.abort(new BangerError("cancelled", "by the user"));
    await assert.rejects(vms.pause("box", { keepRunning: false }, quietProgress(cancel.signal)), { code: "cancelled" });
    runsOn();
  });

  test("a guest that cannot go on after a failure is broken, and its memory is not believed in", async () => {
    at = (name) => {
      failing("finish capture")(name);
      failing("thaw")(name);
    };
    await assert.rejects(pause(), /finish capture/);
    assert.equal(show().state, "broken");
    assert.match(show().reason, /could not go on after a pause that failed: no room at "thaw"/);
    assert.deepEqual(files(), []);
  });

  test("a VM that is deleted meanwhile is gone", async () => {
    const deleted = Promise.withResolvers<unknown>();
    at = (name) => name === "freeze and sync" && deleted.resolve(vms.delete("box", quiet()));
    await assert.rejects(pause(), { code: "cancelled", message: 'VM "box" was ended while it was being paused' });
    await deleted.promise;
    assert.deepEqual(vms.list(), []);
    assert.equal(existsSync(dir), false);
    assert.equal(machine.alive, false);
  });

  for (const keepRunning of [false, true]) {
    const during = keepRunning ? ["freeze", "stop CPUs"] : ["freeze and sync", "stop CPUs", "finish capture"];
    for (const name of during) {
      test(`a kill at "${name}" ends it, and is the reason why it is not paused (keepRunning ${keepRunning})`, async () => {
        const killed = Promise.withResolvers<unknown>();
        at = (now) => now === name && killed.resolve(vms.kill("box", { signal }));
        await assert.rejects(pause(keepRunning), { code: "cancelled", message: /"box" was ended while it was being/ });
        await killed.promise;
        assert.deepEqual([show().state, show().reason, files(), machine.alive], ["stopped", "", [], false]);
      });
    }
  }

  for (const name of ["run CPUs", "thaw"]) {
    test(`only the CPUs: a kill at "${name}" ends it, and is the reason why it does not go on`, async () => {
      await pause(true);
      const killed = Promise.withResolvers<unknown>();
      at = (now) => now === name && killed.resolve(vms.kill("box", { signal }));
      await assert.rejects(resume(), { code: "cancelled" });
      await killed.promise;
      assert.deepEqual([show().state, show().reason, machine.alive], ["stopped", "", false]);
    });
  }

  test("only the CPUs: the VMM stays", async () => {
    const record = await pause(true);
    assert.deepEqual(steps, ["freeze", "stop CPUs"]);
    assert.deepEqual([record.state, record.pid], ["paused", machine.pid]);
    steps = [];
    assert.equal((await resume()).state, "running");
    assert.deepEqual(steps, ["run CPUs", "hello", "thaw"]);
  });

  test("only the CPUs: a failure leaves the VM running", async () => {
    at = failing("stop CPUs");
    await assert.rejects(pause(true), { code: "disk.full" });
    runsOn();
  });

  for (const keepRunning of [false, true]) {
    test(`verbs that need a running VM say how to go on (keepRunning ${keepRunning})`, async () => {
      await pause(keepRunning);
      const wrong = { code: "vm.wrong-state", message: 'VM "box" is paused', hint: "banger vm resume box" };
      await assert.rejects(vms.agent("box"), wrong);
      await assert.rejects(vms.start("box", {}, quiet()), wrong);
      await assert.rejects(pause(), wrong);
      await assert.rejects(vms.health("box", { signal }), wrong);
    });

    test(`a kill drops the memory (keepRunning ${keepRunning})`, async () => {
      await pause(keepRunning);
      assert.equal((await vms.kill("box", { signal })).state, "stopped");
      assert.equal(machine.alive, false);
      assert.deepEqual(files(), []);
      await assert.rejects(resume(), { code: "vm.wrong-state", message: 'VM "box" is not paused (stopped)' });
    });

    test(`a stop lets it go on for a clean shutdown (keepRunning ${keepRunning})`, async () => {
      await pause(keepRunning);
      steps = [];
      await vms.stop("box", quiet());
      assert.deepEqual(steps.slice(-2), ["thaw", "shutdown"]);
      assert.equal(show().state, "stopped");
      assert.deepEqual(files(), []);
    });

    test(`a restart comes up with fresh memory (keepRunning ${keepRunning})`, async () => {
      await pause(keepRunning);
      await vms.restart("box", {}, quiet());
      runsOn();
      assert.equal(show().lastStart?.kind, "cold");
    });

    test(`a delete frees all (keepRunning ${keepRunning})`, async () => {
      await pause(keepRunning);
      await vms.delete("box", quiet());
      assert.equal(existsSync(dir), false);
      assert.equal(machine.alive, false);
    });
  }
});

describe("resume", () => {
  beforeEach(async () => {
    await pause();
    steps = [];
  });

  test("restores, makes the memory unusable before the CPUs run, thaws", async () => {
    let whileStill: string[] = [];
    at = (name) => {
      if (name === "run CPUs") whileStill = [...files(), show().state];
    };
    const record = await resume();
    assert.deepEqual(steps, ["restore", "run CPUs", "hello", "thaw"]);
    assert.deepEqual(whileStill, ["paused.used", "running"]);
    runsOn();
    assert.equal(record.lastStart?.kind, "pause");
    const phases = record.lastStart?.phases.map((phase) => phase.name);
    assert.deepEqual(phases, ["spawn", "load", "resume", "hello", "thaw"]);
    assert.equal(record.pid, machine.pid);
  });

  for (const name of ["restore", "run CPUs"]) {
    test(`a failure at "${name}", before the CPUs run, leaves it paused, to be tried again`, async () => {
      at = failing(name);
      await assert.rejects(resume(), { code: "disk.full" });
      assert.deepEqual([show().state, files()], ["paused", ["paused"]]);
      at = () => {};
      await resume();
      runsOn();
    });
  }

  test("a cancellation before the CPUs run leaves it paused and no VMM", async () => {
    const cancel = new AbortController();
    at = (name) => name === "restore" && cancel.abort(new BangerError("cancelled", "by the user"));
    await assert.rejects(vms.resume("box", quietProgress(cancel.signal)), { code: "cancelled" });
    assert.deepEqual([show().state, files(), machine.alive], ["paused", ["paused"], false]);
    at = () => {};
    await resume();
    runsOn();
  });

  test("a cancellation after that comes too late to lose the memory", async () => {
    const cancel = new AbortController();
    at = (name) => name === "run CPUs" && cancel.abort(new BangerError("cancelled", "by the user"));
    await vms.resume("box", quietProgress(cancel.signal));
    runsOn();
  });

  test("a failure after the CPUs ran ends it with the reason, and the memory is never used again", async () => {
    at = failing("thaw");
    await assert.rejects(resume(), { code: "disk.full" });
    assert.deepEqual([show().state, show().reason, machine.alive], ["stopped", 'no room at "thaw"', false]);
    at = () => {};
    await assert.rejects(resume(), { code: "vm.wrong-state" });
    await vms.start("box", {}, quiet());
    assert.equal(show().lastStart?.kind, "cold");
  });

  test("memory that does not fit any more is given up: it boots from its disks and says why", async () => {
    shape = "another processor";
    const { lastStart, state: now } = await resume();
    assert.deepEqual([now, lastStart?.kind], ["running", "cold"]);
    assert.match(lastStart?.reason ?? "", /the memory of VM "box" does not fit/);
    assert.ok(!steps.includes("restore"));
    runsOn();
  });

  test("memory that does not fit any more is not given up by a stop", async () => {
    shape = "another processor";
    const hint = "banger vm kill box  # ends it without a shutdown";
    await assert.rejects(vms.stop("box", quiet()), { code: "snapshot.incompatible", hint });
    assert.deepEqual([show().state, files()], ["paused", ["paused"]]);
  });

  test("a kill meanwhile ends it", async () => {
    const killed = Promise.withResolvers<unknown>();
    at = (name) => name === "restore" && killed.resolve(vms.kill("box", { signal }));
    await assert.rejects(resume(), { code: "cancelled" });
    await killed.promise;
    assert.deepEqual([show().state, files(), machine.alive], ["stopped", [], false]);
  });
});

describe("the next daemon", () => {
  const recover = async () => {
    vms = daemon();
    await vms.recover({ signal });
  };

  test("finds a paused VM paused, and what was left beside its memory gone", async () => {
    await pause();
    for (const name of ["paused.new", "paused.json.0a1b2c3d4e5f.tmp"]) writeFileSync(join(dir, name), "");
    await recover();
    assert.deepEqual([show().state, files()], ["paused", ["paused"]]);
    await resume();
    runsOn();
  });

  test("ends a VMM whose memory is on the disk, whatever the record says", async () => {
    for (const was of ["paused", "running"] as const) {
      await pause();
      machine.alive = true;
      state.vms.update(show().id, { state: was });
      await recover();
      assert.deepEqual([show().state, machine.alive], ["paused", false], was);
      await resume();
    }
  });

  for (const last of ["begin capture", "freeze and sync", "stop CPUs"]) {
    test(`lets a VM go on whose pause had come to "${last}"`, async () => {
      mkdirSync(join(dir, "paused.new"));
      if (last !== "begin capture") machine.phase = "frozen";
      if (last === "stop CPUs") machine.cpus = false;
      await recover();
      await vms.agent("box");
      runsOn();
    });
  }

  test("lets a VM go on whose resume was cut after its memory was used", async () => {
    for (const was of ["paused", "running"] as const) {
      await pause();
      renameSync(join(dir, "paused"), join(dir, "paused.used"));
      machine = new FakeMachine(machine.vmId, step, activeDisks);
      Object.assign(machine, { cpus: false, phase: "frozen" });
      state.vms.update(show().id, { state: was });
      await recover();
      await vms.agent("box");
      runsOn();
    }
  });

  test("finds a VM paused whose VMM was kept, and waits with the handshake until it is resumed", async () => {
    await pause(true);
    steps = [];
    await recover();
    await new Promise(setImmediate);
    assert.deepEqual([show().state, show().pid, steps], ["paused", machine.pid, []]);
    await resume();
    runsOn();
  });

  test("says what became of a paused VM whose VMM was kept and is gone", async () => {
    await pause(true);
    machine.alive = false;
    await recover();
    assert.equal(show().state, "stopped");
    assert.match(show().reason, /its VMM was gone when the daemon started, and the memory with it/);
  });

  test("can end a VM that it could not take over", async () => {
    at = failing("ask for disks");
    await recover();
    assert.match(show().reason, /no room at "ask for disks"/);
    assert.deepEqual([show().state, show().pid], ["broken", machine.pid]);
    await vms.kill("box", { signal });
    assert.deepEqual([show().state, machine.alive], ["stopped", false]);
  });

  test("never believes in memory of a VM that is not paused", async () => {
    await pause();
    state.vms.update(show().id, { state: "stopped" });
    await recover();
    assert.deepEqual([show().state, files()], ["stopped", []]);
  });

  test("says what became of a VM whose memory was used and whose VMM is gone", async () => {
    await pause();
    renameSync(join(dir, "paused"), join(dir, "paused.used"));
    await recover();
    assert.deepEqual([show().state, files()], ["stopped", []]);
    assert.notEqual(show().reason, "");
  });
});
