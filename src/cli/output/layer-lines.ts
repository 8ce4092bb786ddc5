// The lines of what arrives at the same time, below the line of its operation: one for each layer of an image.
import type { ProgressPart } from "../../api/records.ts";
import { formatBytes } from "../../lib/units.ts";
import { printableLine } from "./sanitise.ts";
import type { Style } from "./terminal.ts";

export interface LayerLinesOptions {
  /** Longest line. */
  columns: number;
  /** Most lines. */
  rows: number;
  /** The terminal shows more than ASCII. */
  unicode: boolean;
  style: (style: Style, text: string) => string;
}

const nameLength = 12;
const longestBar = 24;
const shortestBar = 8;
/** "1023.9 MiB / 1023.9 MiB" */
const sizesLength = 23;
/** Who gets a line first when there is no room for all. */
const urgency: Record<ProgressPart["state"], number> = { running: 0, waiting: 1, done: 2, cached: 3 };

/** In the order of the layers; those that get no line are counted in the last one. */
export function layerLines(parts: readonly ProgressPart[], options: LayerLinesOptions): string[] {
  const { rows, columns, style } = options;
  if (rows < 2) return [];
  if (parts.length <= rows) return parts.map((part) => line(part, options));
  const ranked = [...parts.entries()].toSorted(([, a], [, b]) => urgency[a.state] - urgency[b.state]);
  const shown = ranked.slice(0, rows - 1).toSorted(([a], [b]) => a - b);
  const hidden = ranked.slice(rows - 1).map(([, part]) => part.state);
  const counts = (["running", "waiting", "done", "cached"] as const).flatMap((state) => {
    const count = hidden.filter((other) => other === state).length;
    return count === 0 ? [] : [`${count} ${state}`];
  });
  const rest = `  and ${hidden.length} more: ${counts.join(", ")}`.slice(0, columns);
  return [...shown.map(([, part]) => line(part, options)), style("dim", rest)];
}

function line(part: ProgressPart, { columns, unicode, style }: LayerLinesOptions): string {
  const { state, doneBytes, totalBytes } = part;
  const name = printableLine(part.name.slice(part.name.indexOf(":") + 1, part.name.indexOf(":") + 1 + nameLength));
  const start = `  ${name.padEnd(nameLength)}  `;
  const barLength = Math.min(longestBar, columns - start.length - 2 - sizesLength);
  const hasBar = barLength >= shortestBar;
  const width = hasBar ? barLength : "waiting".length;
  if (state !== "running") {
    return style("dim", `${start}${state.padEnd(width)}  ${formatBytes(totalBytes)}`.slice(0, columns));
  }
  const sizes = `${formatBytes(doneBytes)} / ${formatBytes(totalBytes)}`;
  if (!hasBar) return `${start}${sizes}`.slice(0, columns);
  const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
  const full = Math.floor(share * width);
  const [done, open] = unicode ? ["━", "─"] : ["=", "-"];
  return `${start}${style("green", done.repeat(full))}${style("dim", open.repeat(width - full))}  ${sizes}`;
}
