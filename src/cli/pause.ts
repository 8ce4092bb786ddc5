// Time between two looks.
import { setTimeout as delay } from "node:timers/promises";

/** Resolves after so many milliseconds; throws the signal's reason when it aborts first. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  }
}
