// The one line about kills, and that a run with too few of them fails.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { lineOf, noteKills, shortcoming, type CrashFigures } from "./crash-figures.ts";

const steps: CrashFigures = { atSteps: 122, atRandom: 0, atRest: 123, vms: 3, leaks: 0 };
const random: CrashFigures = { atSteps: 0, atRandom: 180, atRest: 0, vms: 20, leaks: 0, seed: 7 };

test("figures of several tests are one line; too few kills, and leaks, are a failure", (context) => {
  const directory = mkdtempSync(join(tmpdir(), "banger-figures-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "figures");
  const program = join(import.meta.dirname, "crash-figures.ts");
  writeFileSync(file, `${JSON.stringify(steps)}\n${JSON.stringify(random)}\n`);
  assert.equal(
    execFileSync(process.execPath, [program, file], { encoding: "utf8" }),
    "kills of daemons: 425 (122 at named steps, 180 at random instants, 123 at rest), VMs: 23, leaks: 0, seed: 7\n",
  );
  writeFileSync(file, `${JSON.stringify(steps)}\n`);
  const few = spawnSync(process.execPath, [program, file], { encoding: "utf8" });
  assert.deepEqual(
    [few.status, few.stderr],
    [1, "crash figures: 122 kills in the midst of something, and 300 are wanted\n"],
  );
  assert.equal(shortcoming([steps, { ...random, leaks: 1 }]), "something was left over");
  assert.match(lineOf([random]), /^kills of daemons: 180 /);
});

test("a test that runs by itself only says it", () => {
  const before = process.env["BANGER_CRASH_FIGURES"];
  delete process.env["BANGER_CRASH_FIGURES"];
  try {
    assert.equal(noteKills(random), lineOf([random]));
  } finally {
    if (before !== undefined) process.env["BANGER_CRASH_FIGURES"] = before;
  }
});
