// How often daemons were killed in one run of all tests, and what came of it: the tests that kill add up here, for one line at its end.
import { appendFileSync, readFileSync } from "node:fs";

export interface CrashFigures {
  atSteps: number;
  atRandom: number;
  /** Between two verbs, to begin anew with another daemon. */
  atRest: number;
  vms: number;
  leaks: number;
  /** Of the random instants. */
  seed?: number;
}

/** So many kills in the midst of something are wanted of a whole run. */
const wanted = 300;

/** For the run that named a file in BANGER_CRASH_FIGURES; a test that is run by itself only says it. Returns the words for that. */
export function noteKills(figures: CrashFigures): string {
  const file = process.env["BANGER_CRASH_FIGURES"];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(figures)}\n`);
  return lineOf([figures]);
}

export function lineOf(all: readonly CrashFigures[]): string {
  const sum = (pick: (figures: CrashFigures) => number) => all.reduce((total, figures) => total + pick(figures), 0);
  const [steps, random, rest] = [sum((one) => one.atSteps), sum((one) => one.atRandom), sum((one) => one.atRest)];
  const seeds = all.flatMap(({ seed }) => (seed === undefined ? [] : [seed]));
  return [
    `kills of daemons: ${steps + random + rest} (${steps} at named steps, ${random} at random instants, ${rest} at rest)`,
    `VMs: ${sum((one) => one.vms)}`,
    `leaks: ${sum((one) => one.leaks)}`,
    ...(seeds.length === 0 ? [] : [`seed: ${seeds.join(" ")}`]),
  ].join(", ");
}

/** What a run lacks; undefined: nothing. */
export function shortcoming(all: readonly CrashFigures[]): string | undefined {
  const kills = all.reduce((total, { atRandom, atSteps }) => total + atRandom + atSteps, 0);
  if (kills < wanted) return `${kills} kills in the midst of something, and ${wanted} are wanted`;
  return all.some(({ leaks }) => leaks > 0) ? "something was left over" : undefined;
}

if (import.meta.main) {
  const all = readFileSync(process.argv[2] ?? "", "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as CrashFigures);
  console.log(lineOf(all));
  const lacks = shortcoming(all);
  if (lacks !== undefined) {
    console.error(`crash figures: ${lacks}`);
    process.exitCode = 1;
  }
}
