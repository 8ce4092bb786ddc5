// The moment at which files take their places: a host that changes one of them just then, what cannot be written, and a daemon that
// is gone in the middle.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { signal, TwoSides } from "../testdata/two-sides.ts";
import { recoverApplies } from "./apply.ts";
import { planApply, type Step } from "./plan.ts";
import { stageSteps } from "./stage.ts";
import { switchOver } from "./switch.ts";

const names = ["a", "b", "c", "gone", "new/x"];
let sides: TwoSides;
let staging: string;
let journal: string;
beforeEach(() => {
  sides = new TwoSides((host) => {
    for (const name of names.slice(0, 4)) writeFileSync(join(host, name), "host");
  });
  sides.ship();
  for (const name of ["a", "b", "c"]) sides.write("guest", name, "guest");
  rmSync(join(sides.guest, "gone"));
  sides.write("guest", "new/x", "guest");
  staging = join(sides.host, ".git/banger-apply-test");
  journal = join(sides.directory, "journal");
  mkdirSync(staging);
  mkdirSync(journal);
  writeFileSync(join(journal, "test.json"), JSON.stringify({ staging }));
});
afterEach(() => sides[Symbol.dispose]());

async function staged(): Promise<Step[]> {
  await using quarantine = await sides.quarantine();
  const { changes } = await sides.fetch(quarantine);
  const { steps } = await planApply(sides.host, changes, "sha1");
  assert.deepEqual(await stageSteps(quarantine, sides.host, staging, steps, signal), []);
  return steps;
}
const files = () =>
  names.map((name) => {
    const file = join(sides.host, name);
    return existsSync(file) ? readFileSync(file, "utf8") : "-";
  });
const before = ["host", "host", "host", "host", "-"];

test("a file that is written, replaced or made just then stays, and so does all else", async () => {
  const happens: [string, () => void, string[]][] = [
    ["written", () => sides.write("host", "b", "typed just now"), ["host", "typed just now", "host", "host", "-"]],
    ["removed", () => unlinkSync(join(sides.host, "c")), ["host", "host", "-", "host", "-"]],
    ["made", () => sides.write("host", "new/x", "mine"), ["host", "host", "host", "host", "mine"]],
    ["changed before it goes", () => sides.write("host", "gone", "kept"), ["host", "host", "host", "kept", "-"]],
    ["linked away", () => symlinkSync(sides.directory, join(sides.host, "new")), before],
  ];
  for (const [what, happen, after] of happens) {
    const steps = await staged();
    happen();
    await assert.rejects(switchOver(sides.host, staging, steps), { code: "workspace.conflict" }, what);
    assert.deepEqual(files(), after, what);
    assert.equal(existsSync(join(staging, "journal.json")), false, "nothing is left to undo");
    sides.gitOf(sides.host, "reset", "-q", "--hard");
    rmSync(join(sides.host, "new"), { recursive: true, force: true });
    rmSync(staging, { recursive: true });
    mkdirSync(staging);
  }
  await switchOver(sides.host, staging, await staged());
  assert.deepEqual(files(), ["guest", "guest", "guest", "-", "guest"]);
});

/** Switches in a process of its own that dies at a point. */
async function dieAt(point: string): Promise<void> {
  const steps = (await staged()).map(({ path, found, write }) => ({ path: path.toString("latin1"), found, write }));
  const script = `import { switchOver } from ${JSON.stringify(join(import.meta.dirname, "switch.ts"))};
const steps = ${JSON.stringify(steps)}.map((step) => ({ ...step, path: Buffer.from(step.path, "latin1") }));
await switchOver(${JSON.stringify(sides.host)}, ${JSON.stringify(staging)}, steps);`;
  const ended = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    env: { ...process.env, BANGER_DEBUG_CRASH_AT: point },
    encoding: "utf8",
  });
  assert.equal(ended.signal, "SIGKILL", ended.stderr);
}

test("what a daemon left half done is undone, and what the user wrote since is kept", async () => {
  for (const point of ["journal", "replacing", "replacing#3", "replaced"]) {
    await dieAt(`workspace.apply.${point}`);
    assert.deepEqual(await recoverApplies(journal), []);
    assert.deepEqual(files(), before, point);
    assert.deepEqual(
      [readdirSync(journal), existsSync(staging), existsSync(join(sides.host, "new"))],
      [[], false, false],
    );
    mkdirSync(staging);
    writeFileSync(join(journal, "test.json"), JSON.stringify({ staging }));
  }
  await dieAt("workspace.apply.replaced");
  unlinkSync(join(sides.host, "a"));
  sides.write("host", "a", "written since");
  const problems = await recoverApplies(journal);
  assert.match(problems.join(), /"a" was changed meanwhile; what was there before is ".*old\/0"/);
  assert.deepEqual(files(), ["written since", "host", "host", "host", "-"]);
  assert.equal(readFileSync(join(staging, "old/0"), "utf8"), "host");
});

test("a repository that is not there now is tried again later", async () => {
  await dieAt("workspace.apply.replaced");
  const away = `${sides.host}-away`;
  renameSync(sides.host, away);
  assert.equal((await recoverApplies(journal)).length, 1);
  renameSync(away, sides.host);
  assert.deepEqual(await recoverApplies(journal), []);
  assert.deepEqual(files(), before);
});
