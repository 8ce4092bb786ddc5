// How long the event loop was not free for others, for whoever looks for what blocks it (BANGER_DEBUG_LOOP).
import { closeSync, openSync, readSync } from "node:fs";

/** A tick that is late means that something ran all the while. */
const tickMs = 5;

export interface LoopDelay extends Disposable {
  /** Longest time, in milliseconds, that a timer had to wait for its turn. */
  longestMs(): number;
  /** The same without the time in which the thread could run and had no processor: what a quiet host would show at most. */
  longestOwnMs(): number;
}

/** Measures until it is disposed. Undefined without BANGER_DEBUG_LOOP: it costs 200 wake-ups a second. */
export function measureLoopDelay(env: NodeJS.ProcessEnv = process.env): LoopDelay | undefined {
  if ((env["BANGER_DEBUG_LOOP"] ?? "") === "") return undefined;
  const file = openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  const buffer = Buffer.alloc(128);
  const waitedMs = () => {
    const length = readSync(file, buffer, 0, buffer.length, 0);
    return Number(buffer.toString("latin1", 0, length).split(" ")[1]) / 1e6;
  };
  let longest = 0;
  let longestOwn = 0;
  let before = { at: performance.now(), waited: waitedMs() };
  const look = () => {
    const now = { at: performance.now(), waited: waitedMs() };
    const late = now.at - before.at - tickMs;
    longest = Math.max(longest, late);
    longestOwn = Math.max(longestOwn, late - (now.waited - before.waited));
    before = now;
  };
  const timer = setInterval(look, tickMs).unref();
  const rounded = (ms: number) => Math.round(ms * 10) / 10;
  return {
    longestMs: () => (look(), rounded(longest)),
    longestOwnMs: () => rounded(longestOwn),
    [Symbol.dispose]: () => {
      clearInterval(timer);
      closeSync(file);
    },
  };
}
