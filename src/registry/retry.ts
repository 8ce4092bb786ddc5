// Trying again: which answers deserve it, and how long to wait before.
import { setTimeout as delay } from "node:timers/promises";
import { isPassing } from "./failure.ts";
import { readErrorBody, type HttpAnswer } from "./http.ts";
import type { RegistryLimits } from "./limits.ts";

const passingStatuses = new Set([408, 429, 500, 502, 503, 504]);

/** Milliseconds that `Retry-After` asks for (seconds or a date), 0 when it does not. */
export function retryAfterMs(value: string | undefined, nowMs: number): number {
  if (value === undefined) return 0;
  if (/^\d{1,12}$/.test(value.trim())) return Number(value) * 1000;
  const dateMs = Date.parse(value);
  return Number.isNaN(dateMs) ? 0 : Math.max(0, dateMs - nowMs);
}

/** Waits before attempt number `attempt` + 1 (the first is 1): a random part of a pause that doubles, but at least `leastMs`. */
export async function pauseBefore(
  limits: RegistryLimits,
  attempt: number,
  signal: AbortSignal,
  leastMs = 0,
): Promise<void> {
  const longestMs = Math.min(limits.longestPauseMs, limits.firstPauseMs * 2 ** (attempt - 1));
  const waitMs = Math.max(leastMs, longestMs * (0.5 + Math.random() / 2));
  try {
    await delay(waitMs, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/**
 * Asks until there is an answer that is final. The last of the attempts is returned or thrown whatever it is; so is an answer
 * that asks to wait for longer than the limits allow.
 */
export async function askAgain(
  limits: RegistryLimits,
  signal: AbortSignal,
  ask: () => Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  for (let attempt = 1; ; attempt++) {
    let leastMs = 0;
    try {
      const answer = await ask();
      if (!passingStatuses.has(answer.status) || attempt >= limits.attempts) return answer;
      leastMs = retryAfterMs(answer.headers["retry-after"], Date.now());
      if (leastMs > limits.longestRetryAfterMs) return answer;
      // Read, so that the connection can be used again.
      await readErrorBody(answer, limits, signal);
    } catch (error) {
      if (!isPassing(error) || attempt >= limits.attempts) throw error;
    }
    await pauseBefore(limits, attempt, signal, leastMs);
  }
}
