// The table for people. The same facts go to the JSON file.
import type { Measure, Unit } from "./measure.ts";

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
  const sides = measures.flatMap((measure) =>
    Object.entries(measure.sides).map(([name, summary]) => [
      name,
      formatValue(summary.median, unitOfSides(measure)),
      `${summary.p10.toFixed(1)} .. ${summary.p90.toFixed(1)}`,
      String(summary.rounds),
      measure.name,
    ]),
  );
  return [
    ...align(rows),
    "",
    ...align([["side", "median", "p10 .. p90", "rounds", "of"], ...sides]),
    "",
    `${host.cpus} CPUs, ${host.accelerator}, Node ${host.node}; load average ${host.loadBefore.toFixed(2)} before, ${host.loadAfter.toFixed(2)} after`,
  ].join("\n");
}

function unitOfSides({ unit, sideUnit }: Measure): Unit {
  return sideUnit ?? (unit === "x" ? "ms" : unit);
}

function formatValue(value: number, unit: Unit): string {
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
