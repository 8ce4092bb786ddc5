// Restore or boot: what is tried, what a failure costs, and what becomes of a template that is at fault. Machines are made up.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, test } from "node:test";
import type { GuestAgent, GuestConfig, GuestPhase } from "../guest/agent.ts";
import { BangerError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { quietProgress } from "../lib/progress.ts";
import type { Driver, Machine, MachineSpec } from "../vmm/driver.ts";
import { restoreOrBoot } from "./bring-up.ts";
import type { TemplateUse, VmContext } from "./context.ts";
import { PhaseClock } from "./phases.ts";

/** What the restored machine does; a booted one always comes up, unless it "cannot boot". */
type Restored =
  | "works"
  | "is refused"
  | "dies"
  | "is silent"
  | "is in service"
  | "cannot be configured"
  | "has no init";

function setUp(restored: Restored | "none", options: { cannotBoot?: boolean; bootTimeoutMs?: number } = {}) {
  const dir = mkdtempSync(join(tmpdir(), "banger-bring-up-"));
  const events: string[] = [];
  const warnings: string[] = [];
  const agents = new Map<string, GuestAgent>();
  const machine = (kind: string): Machine =>
    ({
      vmId: kind,
      exited:
        kind === "restored" && restored === "dies"
          ? Promise.resolve({ reason: "the VMM was killed", expected: false })
          : new Promise(() => {}),
      controlChannel: async () => Object.assign(new PassThrough(), { kind }),
      resume: async () => void events.push(`resume ${kind}`),
      kill: async () => void events.push(`kill ${kind}`),
    }) as unknown as Machine;
  const agent = (kind: string) =>
    ({
      hello: async () => ({
        failure: "",
        phase: (kind === "restored" && restored === "is in service" ? "running" : "waiting") as GuestPhase,
      }),
      configure: async () => {
        if (kind === "restored" && restored === "cannot be configured")
          throw new BangerError("guest.failed", "no disk");
        if (restored === "has no init") throw new BangerError("guest.failed", "init: /sbin/init: no such file");
        if (kind === "restored" && restored === "is in service")
          throw new BangerError("guest.failed", "guest is in phase RUNNING");
        if (kind === "booted" && options.cannotBoot) throw new BangerError("guest.failed", "no root");
        events.push(`configure ${kind}`);
        return [{ name: "mount-disks", durationMs: 1 }];
      },
      [Symbol.asyncDispose]: async () => void events.push(`close ${kind}`),
    }) as unknown as GuestAgent;
  const parts = {
    driver: {
      launch: async () => {
        events.push("launch");
        return machine("booted");
      },
      restore: async () => {
        events.push("restore");
        if (restored === "is refused") throw new BangerError("snapshot.incompatible", "another version\nand more");
        return { machine: machine("restored"), timings: { spawnMs: 1, loadMs: 2 } };
      },
    } as unknown as Driver,
    connectGuest: async (channel: unknown, { signal }: { signal: AbortSignal }) => {
      const { kind } = channel as { kind: string };
      if (kind === "restored" && (restored === "is silent" || restored === "dies")) {
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        throw signal.reason;
      }
      const made = agent(kind);
      agents.set(kind, made);
      return made;
    },
    settings: { bootTimeoutMs: options.bootTimeoutMs ?? 60_000 },
    log: { ...silentLogger, warn: (message: string) => void warnings.push(message) },
    templates: {
      take: (id: string) =>
        restored === "none"
          ? undefined
          : {
              id,
              capture: { memoryFile: "/m", stateFile: "/s" },
              [Symbol.dispose]: () => void events.push("let go"),
            },
      want: () => void events.push("want"),
      discard: async (id: string) => void events.push(`discard ${id}`),
    },
  } as unknown as VmContext;
  const plan = {
    spec: { vmId: "v", vcpus: 1, memoryMib: 256 } as MachineSpec,
    config: (restored === "has no init" ? { init: "/sbin/init" } : {}) as GuestConfig,
    consoleLog: join(dir, "console.log"),
    imageName: "image",
  };
  const start = (signal = new AbortController().signal, cold = false, ofImage = false) => {
    const clock = new PhaseClock();
    const own: TemplateUse = {
      id: "own",
      capture: { memoryFile: "/m", stateFile: "/s" },
      [Symbol.dispose]: () => void events.push("let go of own"),
    };
    const how = { fingerprint: "f", cold, clock, ...(ofImage && { own }) };
    return restoreOrBoot(parts, plan, quietProgress(signal), how).then((up) => ({
      ...up,
      phases: clock.record(up.kind).phases.map(({ name }) => name),
    }));
  };
  return { start, events, warnings, [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

describe("restore or boot", () => {
  test("a template is restored, and let go of once its guest is configured", async () => {
    using setup = setUp("works");
    const up = await setup.start();
    assert.deepEqual([up.kind, up.reason], ["template", ""]);
    assert.deepEqual(setup.events, ["restore", "resume restored", "configure restored", "let go"]);
    assert.deepEqual(up.phases, ["spawn", "load", "resume", "hello", "configure"]);
  });

  test("a template of the image goes first; when it fails, a boot follows, and not the other template", async () => {
    using setup = setUp("works");
    const up = await setup.start(undefined, false, true);
    assert.deepEqual([up.kind, up.reason], ["image", ""]);
    assert.deepEqual(setup.events, ["restore", "resume restored", "configure restored", "let go of own"]);
    using bad = setUp("cannot be configured");
    assert.equal((await bad.start(undefined, false, true)).kind, "cold");
    assert.equal(bad.events.at(-1), "discard own");
  });

  test("without a template, or when a boot is asked for, it boots", async () => {
    using without = setUp("none");
    const up = await without.start();
    assert.deepEqual([up.kind, up.reason, without.events], ["cold", "", ["launch", "configure booted"]]);
    assert.deepEqual(up.phases, ["spawn", "boot", "hello", "configure"]);
    using cold = setUp("works");
    assert.equal((await cold.start(undefined, true)).kind, "cold");
    assert.deepEqual(cold.events, ["launch", "configure booted"]);
  });

  for (const restored of ["is refused", "dies", "is silent", "is in service", "cannot be configured"] as const) {
    test(`a restored machine that ${restored}: one boot, one warning, and the template goes`, async () => {
      using setup = setUp(restored, { bootTimeoutMs: restored === "is silent" ? 200 : 60_000 });
      const up = await setup.start();
      assert.equal(up.kind, "cold");
      assert.match(up.reason, /^its template could not be restored: .+$/);
      assert.deepEqual(setup.warnings, ["a template could not be restored: booting instead"]);
      assert.deepEqual(setup.events.slice(-3), ["launch", "configure booted", "discard f"]);
      assert.equal(setup.events.filter((event) => event === "launch").length, 1);
      assert.equal(setup.events.includes("kill restored"), restored !== "is refused");
      assert.ok(setup.events.indexOf("let go") < setup.events.indexOf("launch"));
      assert.deepEqual(up.phases, ["failed restore", "spawn", "boot", "hello", "configure"]);
    });
  }

  test("a machine that cannot be booted either: the template is not at fault", async () => {
    using setup = setUp("cannot be configured", { cannotBoot: true });
    await assert.rejects(setup.start(), { code: "vm.boot-failed", message: /no root/ });
    assert.ok(!setup.events.includes("discard f"));
    assert.deepEqual(setup.events.slice(-2), ["close booted", "kill booted"]);
  });

  test("an init that cannot be started: neither a boot nor the template would be better", async () => {
    using setup = setUp("has no init");
    await assert.rejects(setup.start(), { code: "vm.boot-failed", message: /init: \/sbin\/init: no such file/ });
    assert.deepEqual(setup.warnings, []);
    assert.deepEqual(setup.events.slice(-3), ["close restored", "kill restored", "let go"]);
  });

  test("a start that is cancelled does not boot, and keeps the template", async () => {
    using setup = setUp("is silent");
    const controller = new AbortController();
    const started = setup.start(controller.signal);
    controller.abort(new BangerError("cancelled", "enough"));
    await assert.rejects(started, { code: "cancelled" });
    assert.deepEqual(setup.warnings, []);
    assert.ok(!setup.events.includes("launch") && !setup.events.includes("discard f"));
  });
});
