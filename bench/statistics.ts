// Medians and spreads of repeated measurements.

export interface Summary {
  rounds: number;
  median: number;
  p10: number;
  p90: number;
}

/** Of at least one value; percentiles are interpolated. */
export function summarise(values: readonly number[]): Summary {
  if (values.length === 0) throw new Error("nothing was measured");
  const sorted = values.toSorted((a, b) => a - b);
  const at = (fraction: number) => {
    const position = fraction * (sorted.length - 1);
    const low = sorted[Math.floor(position)] ?? NaN;
    const high = sorted[Math.ceil(position)] ?? NaN;
    return low + (high - low) * (position - Math.floor(position));
  };
  return { rounds: sorted.length, median: at(0.5), p10: at(0.1), p90: at(0.9) };
}

/** Summaries of many values that came with names, in the order in which the names came first. */
export function summariseNamed(rounds: readonly (readonly (readonly [string, number])[])[]): Record<string, Summary> {
  const values = new Map<string, number[]>();
  for (const [name, value] of rounds.flat()) values.set(name, [...(values.get(name) ?? []), value]);
  return Object.fromEntries([...values].map(([name, all]) => [name, summarise(all)]));
}

/** One way to do something; resolves with what was measured. */
export type Side<T> = () => Promise<T>;

/**
 * Measures sides in turns, in another order each round, so that noise of the machine meets all alike. One turn of each goes
 * before and is not counted: it fills caches.
 */
export async function interleave<Results extends object>(
  rounds: number,
  sides: { readonly [Name in keyof Results]: Side<Results[Name]> },
): Promise<{ [Name in keyof Results]: Results[Name][] }> {
  const names = Object.keys(sides) as (keyof Results)[];
  const values = Object.fromEntries(names.map((name) => [name, []])) as unknown as {
    [Name in keyof Results]: Results[Name][];
  };
  for (let round = -1; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const result = await sides[name]();
      if (round >= 0) values[name].push(result);
    }
  }
  return values;
}
