// How long the daemon lets its callers wait, asked from outside about each 2 ms.
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "../src/sdk/client.ts";

const betweenMs = 2;

/** Runs the work; milliseconds of the longest answer to a small call meanwhile. */
export async function longestAnswerMs(client: Client, work: () => Promise<unknown>): Promise<number> {
  const ended = new AbortController();
  const done = work().finally(() => ended.abort());
  // Its error comes when it is awaited below.
  done.catch(() => {});
  let longestMs = 0;
  while (!ended.signal.aborted) {
    const asked = performance.now();
    await client.call("daemon.status", {});
    longestMs = Math.max(longestMs, performance.now() - asked);
    await delay(betweenMs);
  }
  await done;
  return longestMs;
}
