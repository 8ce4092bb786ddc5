// Finds processes by what only they have: a variable of their environment.
import { readdirSync, readFileSync } from "node:fs";

/** Pids of other live processes with exactly this `NAME=value` in their environment. */
export function processesWith(variable: string): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      return readFileSync(`/proc/${name}/environ`, "utf8").split("\0").includes(variable) ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}
