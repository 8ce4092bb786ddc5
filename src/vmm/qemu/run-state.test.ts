// Pausing and going on, with a stand-in for QEMU's run states.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Control } from "./control.ts";
import { continueAfterFullDisk, isPaused, pause } from "./run-state.ts";

/** Behaves as QEMU does: `stop` does nothing to a machine that stands still already, whatever the reason. */
class StandIn extends Control {
  status: string;
  readonly commands: string[] = [];
  /** What becomes of the machine when it goes on. */
  readonly #next: string[];

  constructor(status: string, next: string[] = []) {
    super("/nowhere", "vm");
    this.status = status;
    this.#next = next;
  }

  override async command(command: string): Promise<unknown> {
    if (command === "query-status") return { running: this.status === "running", status: this.status };
    this.commands.push(command);
    if (command === "cont") this.status = this.#next.shift() ?? "running";
    else if (this.status === "running") this.status = "paused";
    return {};
  }
}

test("a machine that runs is paused, and one that is paused stays so", async () => {
  for (const status of ["running", "paused"]) {
    const control = new StandIn(status);
    await pause(control);
    assert.equal(await isPaused(control), true);
    assert.deepEqual(control.commands, ["stop"]);
  }
});

test("one that stands still because of a full disk is paused for good", async () => {
  const control = new StandIn("io-error", ["io-error", "running"]);
  await pause(control);
  assert.equal(await isPaused(control), true);
  assert.equal(await continueAfterFullDisk(control), false);
  assert.equal(control.status, "paused");
});

test("one whose disk fails for ever cannot be paused, and says so", async () => {
  const control = new StandIn(
    "io-error",
    Array.from({ length: 20 }, () => "io-error"),
  );
  await assert.rejects(pause(control), { code: "vmm.failed", message: /again and again/ });
});

test("only a full disk's stop is ended by itself", async () => {
  for (const [status, after] of [
    ["io-error", "running"],
    ["paused", "paused"],
    ["running", "running"],
  ] as const) {
    const control = new StandIn(status);
    assert.equal(await continueAfterFullDisk(control), status === "io-error");
    assert.equal(control.status, after);
  }
});
