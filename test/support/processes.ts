// What the process table says.
import { readdirSync, readFileSync } from "node:fs";

/** False when the process is gone or only waits to be reaped. */
export function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Pids of the children of a process, of theirs, and so on. */
export function descendantsOf(pid: number): number[] {
  const parents = readdirSync("/proc").flatMap((name) => {
    try {
      const parent = /^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, "utf8"))?.[1];
      return parent === undefined ? [] : [[Number(name), Number(parent)] as const];
    } catch {
      return [];
    }
  });
  const below = (one: number): number[] =>
    parents.filter(([, parent]) => parent === one).flatMap(([child]) => [child, ...below(child)]);
  return below(pid);
}

/** Whether one of these processes runs, or one that they have started, also after they ended: it is of the same session. */
export function anyRunsOf(sessions: readonly number[]): boolean {
  return readdirSync("/proc").some((name) => {
    try {
      const [, state = "", session] =
        /^\d+ \(.*\) (\S) \d+ \d+ (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, "utf8")) ?? [];
      return state !== "Z" && sessions.includes(Number(session));
    } catch {
      return false;
    }
  });
}

/** First words of its command line; empty when it is gone. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** Bytes of memory that it has in use. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
}

/** Bytes that it has read and written so far, of files, pipes and sockets. */
export function bytesMoved(pid: number): number {
  const text = readFileSync(`/proc/${pid}/io`, "utf8");
  return ["rchar", "wchar"].reduce((sum, name) => sum + Number(RegExp(`^${name}: (\\d+)$`, "m").exec(text)?.[1]), 0);
}

/** The signals that were sent to a process and not yet taken by it. */
export function pendingSignals(pid: number): bigint {
  const [mask] = /(?<=^ShdPnd:\s*)[0-9a-f]+/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? ["0"];
  return BigInt(`0x${mask}`);
}
