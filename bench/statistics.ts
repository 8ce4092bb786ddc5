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

/** One way to do something; resolves with its duration in milliseconds. */
export type Side = () => Promise<number>;

/**
 * Measures sides in turns, in another order each round, so that noise of the machine meets all alike. One turn of each goes
 * before and is not counted: it fills caches.
 */
export async function interleave<Name extends string>(
  rounds: number,
  sides: Readonly<Record<Name, Side>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(sides) as Name[];
  const values = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = -1; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const durationMs = await sides[name]();
      if (round >= 0) values[name].push(durationMs);
    }
  }
  return values;
}
