// A machine for tests of the order of things: no process, and a guest that is only a phase.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import type { GuestPhase } from "../../guest/agent.ts";
import { BangerError } from "../../lib/errors.ts";
import type { Capture, Machine, MachineCapture, MachineExit } from "../../vmm/driver.ts";

/** One VMM with its guest, and what was done to it. */
export class FakeMachine implements Pick<Machine, "pid" | "pause" | "resume" | "kill" | "isPaused" | "beginCapture"> {
  readonly pid = 4711;
  readonly exit = Promise.withResolvers<MachineExit>();
  readonly exited = this.exit.promise;
  alive = true;
  cpus = true;
  phase: GuestPhase = "waiting";
  readonly vmId: string;
  readonly #step: (name: string) => void;
  readonly #activeDisks: () => Map<string, string>;

  /** `step` is called at each call that changes something, and may throw; `activeDisks` is what it answers. */
  constructor(vmId: string, step: (name: string) => void, activeDisks: () => Map<string, string>) {
    this.vmId = vmId;
    this.#step = step;
    this.#activeDisks = activeDisks;
  }

  async controlChannel() {
    return {} as never;
  }
  async pause() {
    this.#step("stop CPUs");
    this.#checkAlive();
    this.cpus = false;
  }
  async resume() {
    this.#checkAlive();
    this.#step("run CPUs");
    this.#checkAlive();
    this.cpus = true;
  }
  async activeDisks() {
    return this.#activeDisks();
  }
  async isPaused() {
    return !this.cpus;
  }
  async kill() {
    this.#step("kill");
    this.alive = false;
    this.exit.resolve({ reason: "killed", expected: true });
  }
  async beginCapture(target: MachineCapture): Promise<Capture> {
    this.#step("begin capture");
    writeFileSync(target.memoryFile, "begun");
    return {
      finish: async () => {
        this.#step("finish capture");
        this.#checkAlive();
        assert.deepEqual([this.cpus, this.phase], [false, "frozen"]);
        writeFileSync(target.memoryFile, "memory");
        writeFileSync(target.stateFile, "state");
        return { copiedBytes: 6 };
      },
      async [Symbol.asyncDispose]() {},
    };
  }
  async [Symbol.asyncDispose]() {}

  /** What a VMM that has ended meanwhile answers. */
  #checkAlive(): void {
    if (!this.alive) throw new BangerError("vmm.failed", "the VMM is gone");
  }
}
