// The command line of the bench.
import { parseArgs } from "node:util";

export interface Options {
  /** Rows that were named; empty: all. */
  only: string[];
  rounds: number;
  full: boolean;
  json: string;
  home: string;
  help: boolean;
}

/** Throws an Error for words that make no sense. `rows`: the names that there are. */
export function parseOptions(
  args: readonly string[],
  rows: readonly string[],
  defaults: Pick<Options, "json" | "home">,
): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string", multiple: true, default: [] },
      rounds: { type: "string", default: "20" },
      full: { type: "boolean", default: false },
      json: { type: "string", default: defaults.json },
      home: { type: "string", default: defaults.home },
      help: { type: "boolean", default: false },
    },
  });
  const only = values.only.flatMap((names) => names.split(","));
  const unknown = only.find((name) => !rows.includes(name));
  if (unknown !== undefined) throw new Error(`there is no row "${unknown}": ${rows.join(", ")}`);
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`"${values.rounds}" is no number of rounds`);
  return { ...values, only, rounds };
}
