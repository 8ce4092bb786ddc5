// How long the event loop was not free for others, for whoever looks for what blocks it (BANGER_DEBUG_LOOP).
import { closeSync, openSync, readSync } from "node:fs";

/** A tick that is late means that something ran all the while. */
const tickMs = 5;
/** Reading takes a hundredth of it. */
const quickMs = 1;
const mostReads = 20;

export interface LoopDelay extends Disposable {
  /** Longest time, in milliseconds, that a timer had to wait for its turn. */
  longestMs(): number;
  /**
   * The same without the time in which the thread could run and had no processor, and at most what the loop was at work since the
   * timer before: it is free for others while it waits for events, also when the host lets a timer fire late. What stops the loop
   * in its work counts in full (locks, disks, a processor that the host takes away): what a quiet host would show at most.
   */
  longestOwnMs(): number;
  /** Most time that the thread had a processor between two turns of a timer: what a quiet host would show at least. */
  longestBusyMs(): number;
}

/** Measures until it is disposed. Undefined without BANGER_DEBUG_LOOP: it costs 200 wake-ups a second. */
export function measureLoopDelay(env: NodeJS.ProcessEnv = process.env): LoopDelay | undefined {
  if ((env["BANGER_DEBUG_LOOP"] ?? "") === "") return undefined;
  const file = openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  const buffer = Buffer.alloc(128);
  const { nodeTiming } = performance;
  const schedule = () => {
    const { at, value: length } = atOneTime(() => readSync(file, buffer, 0, buffer.length, 0));
    const [ran = 0, waited = 0] = buffer.toString("latin1", 0, length).split(" ").map(Number);
    // In epoll_wait, from its call to its return: waiting for a processor at its end is in both, so not both are taken off.
    return { at, idle: nodeTiming.idleTime, ran: ran / 1e6, waited: waited / 1e6 };
  };
  let longest = 0;
  let longestOwn = 0;
  let longestBusy = 0;
  let before = schedule();
  const look = () => {
    const now = schedule();
    const late = now.at - before.at - tickMs;
    longest = Math.max(longest, late);
    const atWork = now.at - before.at - (now.idle - before.idle);
    longestOwn = Math.max(longestOwn, Math.min(late - (now.waited - before.waited), atWork));
    longestBusy = Math.max(longestBusy, now.ran - before.ran);
    before = now;
  };
  const timer = setInterval(look, tickMs).unref();
  const rounded = (ms: number) => Math.round(ms * 10) / 10;
  return {
    longestMs: () => (look(), rounded(longest)),
    longestOwnMs: () => rounded(longestOwn),
    longestBusyMs: () => rounded(longestBusy),
    [Symbol.dispose]: () => {
      clearInterval(timer);
      closeSync(file);
    },
  };
}

/**
 * What `read` gives, and the time at which that was so. Read again when it took long: a thread often loses its processor where a
 * system call ends, and would seem to have done something else than wait until the clock was read. Never too early a time.
 */
export function atOneTime<T>(read: () => T): { at: number; value: T } {
  for (let tries = 1; ; tries++) {
    const begun = performance.now();
    const value = read();
    const at = performance.now();
    if (at - begun < quickMs || tries === mostReads) return { at, value };
  }
}
