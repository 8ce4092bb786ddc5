// Threads of the daemon that work for seconds let its own thread go first: whoever asks the daemon meanwhile is answered at once.
import { readlinkSync } from "node:fs";
import { constants, getPriority, setPriority } from "node:os";

/** Like nice(1): about a fifth of the share of one that has not yielded, and all of it when nobody else wants the processor. */
const niceness = 7;

/** For the thread that calls it, until it ends: an unprivileged one cannot take it back. */
export function yieldProcessor(): void {
  const thread = /\/task\/(\d+)$/.exec(readlinkSync("/proc/thread-self"))?.[1];
  if (thread === undefined) return;
  const id = Number(thread);
  setPriority(id, Math.min(getPriority(id) + niceness, constants.priority.PRIORITY_LOW));
}
