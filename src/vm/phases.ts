// Where the time of one start went. Every way to bring a VM up (boot, template, snapshot, pause) measures itself with this clock.
import type { StartKind, StartRecord } from "../api/records.ts";

/**
 * Measures a start from its request on. Phases follow one another without a gap: each `end` closes the phase that began where
 * the one before ended.
 */
export class PhaseClock {
  readonly #startedMs = performance.now();
  #lastMs = 0;
  #phases: StartRecord["phases"] = [];

  /** Milliseconds since the start. */
  nowMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** Closes a phase now, or where it was over already (`atMs` since the start; never before the phase began). */
  end(name: string, atMs = this.nowMs()): void {
    const endMs = Math.max(this.#lastMs, atMs);
    this.#phases.push({ name, ms: tenths(endMs - this.#lastMs) });
    this.#lastMs = endMs;
  }

  /** How many phases have ended. */
  get count(): number {
    return this.#phases.length;
  }

  /** Makes one phase of those from the `from`th on and of the time since: an attempt that failed. */
  fold(from: number, name: string): void {
    const before = this.#phases.slice(0, from);
    this.#phases = before;
    this.#lastMs = before.reduce((sum, phase) => sum + phase.ms, 0);
    this.end(name);
  }

  /** What goes to the VM's row and to the table of starts. The total ends with the last phase. */
  record(kind: StartKind, reason = ""): StartRecord {
    return { kind, reason, phases: this.#phases, totalMs: tenths(this.#lastMs), at: Date.now() };
  }
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
