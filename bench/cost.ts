// What a piece of work costs: time, processor time, memory, bytes written. Of a command with all its children, and of a process
// that runs on.
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../src/lib/run.ts";

export interface Cost {
  wallMs: number;
  /** User and system time of all threads and children. */
  cpuMs: number;
  /** Resident memory at its highest: of the largest process. */
  peakMb: number;
  /** Written to files. */
  writtenMb: number;
}

const timeoutMs = 600_000;
const msPerTick = 10;

/** Runs a command to its end under time(1). Throws when it fails. */
export async function costOf(file: string, args: readonly string[], env: Record<string, string> = {}): Promise<Cost> {
  const dir = await mkdtemp(join(tmpdir(), "banger-cost-"));
  try {
    const output = join(dir, "cost");
    const format = "%U %S %M %O";
    const timed = ["--output", output, "--format", format, file, ...args];
    const { durationMs } = await run({ file: "time", args: timed, env, timeoutMs });
    const [user = NaN, system = NaN, peakKib = NaN, sectors = NaN] = (await readFile(output, "utf8"))
      .split(" ")
      .map(Number);
    return {
      wallMs: durationMs,
      cpuMs: (user + system) * 1000,
      peakMb: (peakKib * 1024) / 1e6,
      writtenMb: (sectors * 512) / 1e6,
    };
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Costs of a process from now on; the returned function tells them. Its peak of memory begins anew. */
export function watchProcess(pid: number): () => Cost {
  const started = performance.now();
  // Resets the peak.
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
  const [cpuMs, writtenMb] = [cpuMsOf(pid), writtenMbOf(pid)];
  return () => ({
    wallMs: performance.now() - started,
    cpuMs: cpuMsOf(pid) - cpuMs,
    peakMb: (field(pid, "status", /^VmHWM:\s+(\d+) kB$/m) * 1024) / 1e6,
    writtenMb: writtenMbOf(pid) - writtenMb,
  });
}

function cpuMsOf(pid: number): number {
  const afterName = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  // utime, stime, and those of children that have ended.
  return afterName.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * msPerTick, 0);
}

function writtenMbOf(pid: number): number {
  return field(pid, "io", /^write_bytes: (\d+)$/m) / 1e6;
}

function field(pid: number, file: string, pattern: RegExp): number {
  return Number(pattern.exec(readFileSync(`/proc/${pid}/${file}`, "utf8"))?.[1]);
}
