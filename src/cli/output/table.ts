// Tables for people: columns aligned with two spaces between them, header in capitals.
import { printableLine } from "./sanitise.ts";

/** The table's text, each line ended by a newline. Cells are sanitised; the last column is not padded. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header.map((name) => name.toUpperCase()), ...rows.map((row) => row.map(printableLine))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length)));
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd((widths[column] ?? 0) + 2))
          .join("")
          .trimEnd()}\n`,
    )
    .join("");
}

/** "key  value" lines for one thing. */
export function formatPairs(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([key]) => key.length));
  return pairs.map(([key, value]) => `${key.padEnd(width + 2)}${printableLine(value)}`.trimEnd() + "\n").join("");
}
