// A guest that is silent is powered on once more, within the whole boot timeout; every other failure is final.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, test } from "node:test";
import type { GuestAgent } from "../guest/agent.ts";
import { BangerError } from "../lib/errors.ts";
import type { Driver, Machine, MachineExit, MachineSpec } from "../vmm/driver.ts";
import type { VmContext } from "./context.ts";
import { powerOn } from "./power-on.ts";

/** What the guest of one boot does. */
type Guest = "hello" | "silent" | "dies" | "garbage";

function setUp(guests: Guest[], bootTimeoutMs: number) {
  const dir = mkdtempSync(join(tmpdir(), "banger-power-on-"));
  const consoleLog = join(dir, "console.log");
  writeFileSync(consoleLog, "the last words\n");
  const events: string[] = [];
  const agent = {} as GuestAgent;
  let boots = 0;
  const launch = async (): Promise<Machine> => {
    const boot = boots++;
    const exit = Promise.withResolvers<MachineExit>();
    events.push(`launch ${boot}`);
    if (guests[boot] === "dies") exit.resolve({ reason: "the VMM was killed", expected: false });
    return {
      exited: exit.promise,
      controlChannel: async () => new PassThrough(),
      kill: async () => void events.push(`kill ${boot}`),
    } as unknown as Machine;
  };
  const parts = {
    driver: { launch } as unknown as Driver,
    settings: { bootTimeoutMs } as VmContext["settings"],
    log: { warn: (message: string) => void events.push(message) } as VmContext["log"],
    connectGuest: async (_channel: unknown, { signal }: { signal: AbortSignal }) => {
      const guest = guests[boots - 1];
      if (guest === "hello") return agent;
      if (guest === "garbage") throw new BangerError("guest.protocol", "garbage");
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      throw signal.reason;
    },
  };
  const start = (signal = new AbortController().signal) =>
    powerOn(parts, { vmId: "v" } as MachineSpec, { consoleLog, signal });
  return { start, events, agent, [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

const warning = "the guest is silent: powering it on once more";

describe("powering on", () => {
  test("a guest that answers is booted once", async () => {
    using setup = setUp(["hello"], 60_000);
    assert.equal((await setup.start()).agent, setup.agent);
    assert.deepEqual(setup.events, ["launch 0"]);
  });

  test("a guest that hangs is killed and booted once more", async () => {
    using setup = setUp(["silent", "hello"], 900);
    assert.equal((await setup.start()).agent, setup.agent);
    assert.deepEqual(setup.events, ["launch 0", "kill 0", warning, "launch 1"]);
  });

  test("a guest that hangs twice: the error speaks of the whole time and shows the console", async () => {
    using setup = setUp(["silent", "silent"], 60);
    await assert.rejects(setup.start(), {
      code: "vm.boot-timeout",
      message: "the guest did not say Hello within 0.06 s; its console ends with:\nthe last words",
    });
    assert.deepEqual(setup.events, ["launch 0", "kill 0", warning, "launch 1", "kill 1"]);
  });

  for (const [guest, code] of [
    ["dies", "vm.boot-failed"],
    ["garbage", "guest.protocol"],
  ] as const) {
    test(`a guest that ${guest} is not booted again`, async () => {
      using setup = setUp([guest], 60_000);
      await assert.rejects(setup.start(), { code });
      assert.deepEqual(setup.events, ["launch 0", "kill 0"]);
    });
  }

  test("a cancelled start is not booted again", async () => {
    using setup = setUp(["silent"], 60_000);
    const controller = new AbortController();
    const started = setup.start(controller.signal);
    controller.abort(new BangerError("cancelled", "enough"));
    await assert.rejects(started, { code: "cancelled" });
    assert.deepEqual(setup.events, ["launch 0", "kill 0"]);
  });
});
