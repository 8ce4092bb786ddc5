// How long starts take: kept in the database, but never written while somebody waits for a VM.
import type { Result } from "../api/method.ts";
import type { Methods } from "../api/methods.ts";
import { startKind, type StartRecord } from "../api/records.ts";
import type { Logger } from "../lib/log.ts";
import type { StartTable } from "../state/starts.ts";

export type StartStats = Result<Methods["stats.starts"]>;

/** A write waits for the disk and would hold up the commands that follow a start. */
const writeAfterMs = 2000;

/** Collects the starts of this daemon; dispose writes what is left. */
export class StartLog implements Disposable {
  readonly #table: StartTable;
  readonly #log: Logger;
  #pending: StartRecord[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(table: StartTable, log: Logger) {
    this.#table = table;
    this.#log = log;
  }

  add(record: StartRecord): void {
    this.#pending.push(record);
    this.#timer ??= setTimeout(() => this.#write(), writeAfterMs).unref();
  }

  stats(): StartStats {
    this.#write();
    return summarize(this.#table.list());
  }

  [Symbol.dispose](): void {
    this.#write();
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const pending = this.#pending;
    this.#pending = [];
    try {
      for (const record of pending) this.#table.add(record);
    } catch (error) {
      this.#log.warn("starts could not be recorded", { count: pending.length, error });
    }
  }
}

/** Kinds in a fixed order, those without a start left out. */
export function summarize(records: readonly StartRecord[]): StartStats {
  const starts = startKind.pipe[0].options.flatMap((kind) => {
    const mine = records.filter((record) => record.kind === kind);
    if (mine.length === 0) return [];
    const totals = mine.map((record) => record.totalMs);
    return [
      {
        kind,
        count: mine.length,
        p50Ms: quantile(totals, 0.5),
        p95Ms: quantile(totals, 0.95),
        phases: phaseMedians(mine),
      },
    ];
  });
  return { starts };
}

function phaseMedians(records: readonly StartRecord[]): { name: string; p50Ms: number }[] {
  const byName = new Map<string, number[]>();
  for (const { name, ms } of records.flatMap((record) => record.phases)) {
    const known = byName.get(name);
    if (known === undefined) byName.set(name, [ms]);
    else known.push(ms);
  }
  return [...byName].map(([name, values]) => ({ name, p50Ms: quantile(values, 0.5) }));
}

/** The smallest value that at least this share of the values does not exceed. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}
