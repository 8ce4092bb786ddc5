// Runs fuzz targets: random input from a seed that a failure names. FUZZ_SEED=<number> runs one seed again, FUZZ_SECONDS=<number>
// goes on for that long with each target.
import { test } from "node:test";

export type Random = (below: number) => number;

/** Numbers that follow from the seed (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

export const pick = <T>(random: Random, items: readonly T[]): T => items[random(items.length)] as T;

const givenSeed = process.env["FUZZ_SEED"];
const seconds = Number(process.env["FUZZ_SECONDS"] ?? 0);
const fixedSeed = 1;

/**
 * A test that tries `count` inputs from a seed that is always the same, and as many from one that is new each time. `one` makes
 * the input from its numbers, tries it, and throws when something is wrong. Each input has a seed of its own.
 */
export function fuzz(name: string, count: number, one: (random: Random, seed: number) => void | Promise<void>): void {
  const newSeed = 1 + (Date.now() % 1_000_000_000);
  const starts = givenSeed === undefined ? [fixedSeed, newSeed] : [Number(givenSeed)];
  test(`fuzz ${name} (seeds from ${starts.join(" and ")})`, async (context) => {
    const endsAt = performance.now() + seconds * 1000;
    let tried = 0;
    for (const start of starts) {
      for (let seed = start; seed < start + count || (start === starts.at(-1) && performance.now() < endsAt); seed++) {
        tried++;
        try {
          await one(randomFrom(seed), seed);
        } catch (error) {
          throw new Error(`${name}: FUZZ_SEED=${seed} fails`, { cause: error });
        }
      }
    }
    if (seconds > 0) context.diagnostic(`${name}: ${tried} inputs`);
  });
}
