// The table for people. The same facts go to the JSON file.
import type { Measure } from "./measures.ts";

export interface Host {
  cpus: number;
  node: string;
  accelerator: string;
  /** Load averages over a minute, before and after. */
  loadBefore: number;
  loadAfter: number;
}

/** Says whether a measure reached its target. */
export function passed(measure: Measure): boolean {
  return measure.value <= measure.target;
}

/** Lines of text, without colours. */
export function formatReport(measures: readonly Measure[], host: Host): string {
  const rows = [
    ["measure", "value", "target", ""],
    ...measures.map((measure) => [
      measure.name,
      formatValue(measure.value, measure.unit),
      `<= ${measure.target} ${measure.unit}`,
      passed(measure) ? "pass" : "FAIL",
    ]),
  ];
  const sides = new Map(
    measures.flatMap((measure) =>
      Object.entries(measure.sides).map(([name, summary]) => [
        `${measure.name}\0${name}`,
        [
          name,
          formatValue(summary.median, measure.unit === "MB" ? "MB" : "ms"),
          `${summary.p10.toFixed(1)} .. ${summary.p90.toFixed(1)}`,
          String(summary.rounds),
          measure.name,
        ],
      ]),
    ),
  );
  return [
    ...align(rows),
    "",
    ...align([["side", "median", "p10 .. p90", "rounds", "of"], ...sides.values()]),
    "",
    `${host.cpus} CPUs, ${host.accelerator}, Node ${host.node}; load average ${host.loadBefore.toFixed(2)} before, ${host.loadAfter.toFixed(2)} after`,
  ].join("\n");
}

function formatValue(value: number, unit: Measure["unit"]): string {
  return `${value.toFixed(unit === "x" ? 3 : 1)} ${unit}`;
}

function align(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
