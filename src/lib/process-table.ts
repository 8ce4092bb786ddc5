// What /proc says about processes: identity (pid and start time), command line, use of CPU and memory, and whether one is gone.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { BangerError } from "./errors.ts";

/** A process that cannot be mistaken for a later one with the same pid, within one boot of the host. */
export interface ProcessIdentity {
  pid: number;
  /** Start of the process in clock ticks since the boot of the host. */
  startTicks: number;
}

/** The kernel gives times to user space in hundredths of a second on every platform that Node runs on. */
const ticksPerSecond = 100;

/** Tells this boot of the host from all others. */
export function hostBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/**
 * The fields of /proc/<pid>/stat after the command name, state first; undefined when there is no such process.
 * The name may hold spaces and parentheses, so the fields start after the last parenthesis.
 */
function statFields(pid: number): string[] | undefined {
  const text = readProc(pid, "stat");
  return text?.slice(text.lastIndexOf(")") + 2).split(" ");
}

function readProc(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return undefined;
  }
}

/**
 * Start time of a living process; undefined when it is gone. A zombie is gone, as it holds no memory, file or socket; but one whose
 * first thread is a zombie still holds all of them for its other threads, and the locks on its files.
 */
export function startTicksOf(pid: number): number | undefined {
  const fields = statFields(pid);
  if (fields === undefined || fields[0] === "X" || (fields[0] === "Z" && Number(fields[17]) <= 1)) return undefined;
  const ticks = Number(fields[19]);
  return Number.isSafeInteger(ticks) ? ticks : undefined;
}

/** True while exactly this process lives. */
export function isAlive(identity: ProcessIdentity): boolean {
  return startTicksOf(identity.pid) === identity.startTicks;
}

/** Argument vector of a process of this user; empty when it is gone or belongs to somebody else. */
export function argumentsOf(pid: number): string[] {
  try {
    if (statSync(`/proc/${pid}`).uid !== process.geteuid?.()) return [];
  } catch {
    return [];
  }
  return (readProc(pid, "cmdline") ?? "").split("\0").slice(0, -1);
}

/** Pids of all processes on the host. */
export function allPids(): number[] {
  return readdirSync("/proc").map(Number).filter(Number.isSafeInteger);
}

/** Resident memory and CPU time used; undefined when the process is gone. */
export async function usageOf(pid: number): Promise<{ residentBytes: number; cpuMs: number } | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const fields = statFields(pid);
  if (fields === undefined) return undefined;
  const residentKib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
  const ticks = Number(fields[11]) + Number(fields[12]);
  return { residentBytes: residentKib * 1024, cpuMs: (ticks * 1000) / ticksPerSecond };
}

/** Sends KILL to exactly this process. Nothing happens when it is gone. */
export function killProcess(identity: ProcessIdentity): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/**
 * Resolves when the process is gone. Node has no event for processes that are not its children, so this looks again and again,
 * first often, then every 50 ms. Throws `vmm.failed` after `timeoutMs`.
 */
export async function waitUntilGone(identity: ProcessIdentity, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (let pauseMs = 2; isAlive(identity); pauseMs = Math.min(50, pauseMs * 2)) {
    if (performance.now() > deadline) {
      throw new BangerError("vmm.failed", `process ${identity.pid} is still there ${timeoutMs / 1000} s after KILL`, {
        hint: `ps -o pid,stat,wchan,args -p ${identity.pid}`,
      });
    }
    await sleep(pauseMs);
  }
}
