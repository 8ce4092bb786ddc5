// Replaces a daemon that is older than its client, and waits for one that is going away.
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { isNotThere } from "./transport.ts";

/** Calls a method once, with extra headers: no start, no retry. */
export type PlainCall = (name: "daemon.stop" | "daemon.status", headers: Record<string, string>) => Promise<unknown>;

const deadlineMs = 35_000;
const pauseMs = 20;

/**
 * Stops the daemon with this pid. Returns true when it is gone, false when it is busy and goes on.
 * Another daemon that has taken its place in the meantime is left alone.
 */
export async function stopOutdated(call: PlainCall, pid: number, signal: AbortSignal): Promise<boolean> {
  try {
    await call("daemon.stop", { "banger-daemon-pid": String(pid) });
  } catch (thrown) {
    const error = toBangerError(thrown);
    if (error.code === "daemon.busy") return false;
    if (error.code !== "daemon.shutting-down" && error.code !== "daemon.unreachable") throw error;
  }
  await untilGone(call, pid, signal);
  return true;
}

/** Returns when nothing listens, or a daemon with another pid does. `pid` undefined: any daemon that is not stopping will do. */
export async function untilGone(call: PlainCall, pid: number | undefined, signal: AbortSignal): Promise<void> {
  const until = performance.now() + deadlineMs;
  for (;;) {
    try {
      const status = (await call("daemon.status", {})) as { pid: number };
      if (status.pid !== pid) return;
    } catch (thrown) {
      if (isNotThere(thrown)) return;
      const error = toBangerError(thrown);
      if (error.code !== "daemon.shutting-down" && error.code !== "daemon.unreachable") throw error;
    }
    if (performance.now() > until) {
      throw new BangerError("daemon.unreachable", `the daemon is still stopping after ${deadlineMs / 1000} s`, {
        hint: "banger daemon status",
      });
    }
    await delay(pauseMs, undefined, { signal });
  }
}

/** Returns when the process of that pid has ended: its lock and its database are free then. */
export async function untilEnded(pid: number, signal: AbortSignal): Promise<void> {
  const until = performance.now() + deadlineMs;
  while (isAlive(pid)) {
    if (performance.now() > until) {
      throw new BangerError(
        "daemon.unreachable",
        `the daemon (pid ${pid}) has not ended after ${deadlineMs / 1000} s`,
        {
          hint: `kill ${pid}`,
        },
      );
    }
    await delay(pauseMs, undefined, { signal });
  }
}

/** A zombie has ended: its files are closed, only its parent has yet to ask how. The parent is an init that may take seconds. */
function isAlive(pid: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(text.slice(text.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}
