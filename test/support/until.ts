// Waiting for something that gives no event, with a deadline whose error says what was awaited and what was last seen.
import { setTimeout as delay } from "node:timers/promises";

/** Calls `look` until it returns something other than undefined. For states of other processes only. */
export async function until<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
  timeoutMs = 60_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const seen = await look();
      if (seen !== undefined) return seen;
    } catch (error) {
      lastError = error;
    }
    if (Date.now() > end) {
      throw new Error(`waited ${timeoutMs} ms for ${what}`, { cause: lastError });
    }
    await delay(50);
  }
}
