// Spans of time as people write them: "30s", "10m", "2h", "1d", and joined: "1h30m".
import { BangerError } from "../lib/errors.ts";

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds. A bare number means seconds. `what` names the option in the error. */
export function parseDuration(text: string, what: string): number {
  const pieces = /^\d+$/.test(text) ? [[`${text}s`, text, "s"]] : [...text.matchAll(/(\d+)(ms|[smhd])/g)];
  const ms = pieces.reduce((sum, [, count, unit]) => sum + Number(count) * (unitMs[unit ?? ""] ?? Number.NaN), 0);
  if (pieces.map(([piece]) => piece).join("") === (/^\d+$/.test(text) ? `${text}s` : text) && ms > 0) return ms;
  throw new BangerError("usage", `${what} "${text}" is not a span of time: write for example 30s, 10m, 2h or 1h30m`);
}

/** What a VM's times may be: a second to ten years. */
export const lifetimes = { least: "1s", most: "3660d" };

/** An option with a span of time, within the given ones if any; the value is milliseconds. */
export function durationOption(name: string, brief: string, { least, most }: { least?: string; most?: string } = {}) {
  return {
    kind: "parsed",
    parse(text: string) {
      const ms = parseDuration(text, `--${name}`);
      const beyond = (limit: string) => new BangerError("usage", `--${name} "${text}" is not possible: ${limit}`);
      if (least !== undefined && ms < parseDuration(least, "")) throw beyond(`at least ${least}`);
      if (most !== undefined && ms > parseDuration(most, "")) throw beyond(`at most ${most}`);
      return ms;
    },
    optional: true,
    placeholder: "time",
    brief,
  } as const;
}
