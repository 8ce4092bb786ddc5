// Where the time of one "vm run" went: phases seen from here, and inside of "create" those that the daemon measured.
import type { StartRecord, VmRecord } from "../../api/records.ts";
import { formatDuration } from "../../lib/units.ts";
import { printableJson, printableLine } from "../output/sanitise.ts";
import type { Terminal } from "../output/terminal.ts";

interface Phase {
  name: string;
  ms: number;
}

/** A stop-watch that runs since this process started. */
export class Timings {
  readonly #now: () => number;
  readonly #phases: Phase[] = [];
  #lastMs = 0;

  /** `now`: milliseconds since the process started; tests give another clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Ends a phase, which began where the one before ended. */
  mark(name: string): void {
    const now = Math.round(this.#now() * 10) / 10;
    this.#phases.push({ name, ms: Math.round((now - this.#lastMs) * 10) / 10 });
    this.#lastMs = now;
  }

  /** On stderr: a table for people, one JSON object with --json. */
  report(terminal: Terminal, { name, lastStart }: Pick<VmRecord, "name" | "lastStart">): void {
    if (terminal.json) {
      const timings = { vm: name, start: lastStart, phases: this.#phases, totalMs: this.#lastMs };
      terminal.report(printableJson({ timings }));
      return;
    }
    for (const line of this.#lines(name, lastStart)) terminal.report(printableLine(line));
  }

  #lines(name: string, start: StartRecord | null): string[] {
    const measured = start?.phases.map((phase): [string, number] => [`    ${phase.name}`, phase.ms]) ?? [];
    const rows = this.#phases.flatMap((phase): [string, number][] => [
      [`  ${phase.name}`, phase.ms],
      ...(phase.name === "create" ? measured : []),
    ]);
    rows.push(["  total", this.#lastMs]);
    const width = Math.max(...rows.map(([left]) => left.length)) + 2;
    const why = start === null || start.reason === "" ? "" : ` (${start.reason})`;
    const kind = start === null ? "" : `: ${kinds[start.kind]}${why}`;
    return [
      `timings of ${name}${kind}`,
      ...rows.map(([left, ms]) => left.padEnd(width) + formatDuration(ms).padStart(7)),
    ];
  }
}

const kinds: Readonly<Record<StartRecord["kind"], string>> = {
  cold: "booted",
  template: "started from a template",
  image: "started from a template of its image",
  snapshot: "started from a snapshot",
  pause: "resumed",
};
