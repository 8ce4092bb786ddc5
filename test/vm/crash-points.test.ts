// The daemon is killed at every named step of every verb (src/lib/crash-point.ts). Each time the
// next one must have lost nothing that was acknowledged, and nothing may be left over.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { checkAfterCrash, makeWitnesses, type Witnesses } from "../support/after-crash.ts";
import { noteKills } from "../support/crash-figures.ts";
import { CrashHome } from "../support/crash-home.ts";
import { crashScenarios } from "../support/crash-scenarios.ts";
import { sourceFiles } from "../support/source-files.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-crash-"));
const scenarios = crashScenarios(directory);
after(() => rmSync(directory, { recursive: true }));

test("every point in the source is one at which a daemon is killed here, and each name stands once", () => {
  const inSource = sourceFiles("src/**/*.ts").flatMap(({ text }) =>
    [...text.matchAll(/\bcrashPoint\("([^"]+)"\)/g)].map(([, name]) => name ?? ""),
  );
  const killedAt = new Set(scenarios.flatMap(({ points }) => points.map((point) => point.replace(/#.*/, ""))));
  assert.ok(inSource.length > 0, "no point was found");
  assert.deepEqual(inSource.toSorted(), [...killedAt].toSorted());
});

describe("a daemon that is killed at a named step", { concurrency: false }, () => {
  let home: CrashHome;
  let witnesses: Witnesses;
  let points = 0;
  before(async () => {
    home = new CrashHome();
    witnesses = await makeWitnesses(home);
  });
  after(() => home[Symbol.asyncDispose]());

  for (const scenario of scenarios) {
    test(`of: ${scenario.name}`, async () => {
      for (const point of scenario.points) {
        await scenario.prepare(home);
        await home.dieAt(point, (client) => scenario.verb(client, home));
        points++;
        await checkAfterCrash(home, witnesses).catch((error: unknown) => {
          throw new Error(`after a death at "${point}"`, { cause: error });
        });
      }
      await scenario.prepare(home);
      await scenario.verb(home.client, home);
    });
  }

  test("what the VMs had is there at the end", async (context) => {
    const box = await home.ensure("box", "running");
    assert.equal(await home.readMark("box"), box.id);
    const asleep = await home.ensure("asleep", "running");
    assert.equal(await home.readMark("asleep"), asleep.id);
    const vms = (await home.records()).length;
    const figures = { atSteps: points, atRandom: 0, atRest: home.kills - points, vms, leaks: home.leaks };
    context.diagnostic(noteKills(figures));
  });
});
