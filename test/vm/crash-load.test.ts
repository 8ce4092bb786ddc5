// The daemon is killed at random instants while several verbs are under way. Each time the next one must have lost nothing that was
// acknowledged, and nothing may be left over. BANGER_KILL_SEED=<number> repeats a run as far as chance allows, SOAK_SECONDS=<number> goes
// on for that long.
import { after, before, test } from "node:test";
import { randomFrom } from "../../src/lib/testdata/fuzz.ts";
import { makeWitnesses, type Witnesses } from "../support/after-crash.ts";
import { noteKills } from "../support/crash-figures.ts";
import { CrashHome } from "../support/crash-home.ts";
import { CrashLoad } from "../support/crash-load.ts";

const seed = Number(process.env["BANGER_KILL_SEED"] ?? Date.now() % 1_000_000);
const soakSeconds = Number(process.env["SOAK_SECONDS"] ?? 0);
const kills = 180;

let home: CrashHome;
let witnesses: Witnesses;
before(async () => {
  home = new CrashHome();
  witnesses = await makeWitnesses(home);
});
after(() => home[Symbol.asyncDispose]());

test(`a daemon that is killed at random instants under load (seed ${seed})`, { timeout: Infinity }, async (context) => {
  const load = new CrashLoad(home, witnesses, randomFrom(seed));
  const endsAt = performance.now() + soakSeconds * 1000;
  while (home.kills < kills || performance.now() < endsAt) {
    await load.round().catch((error: unknown) => {
      throw new Error(`BANGER_KILL_SEED=${seed} fails at kill ${home.kills}`, { cause: error });
    });
  }
  await load.finish();
  const figures = { atSteps: 0, atRandom: home.kills, atRest: 0, vms: load.made, leaks: home.leaks, seed };
  context.diagnostic(`${noteKills(figures)}, verbs: ${load.verbs} (${load.cut} cut)`);
});
