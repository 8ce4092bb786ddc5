// Deadlines and races on abort signals, with errors that say what was awaited.
import type { BangerError } from "./errors.ts";

/** A signal that aborts with the given error after `timeoutMs`, or with the reason of `signal` when that comes first. */
export function deadline(
  signal: AbortSignal,
  timeoutMs: number,
  error: () => BangerError,
): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => controller.abort(error()), timeoutMs);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    },
  };
}

/** The promise's result, or the signal's reason when it aborts first. The promise itself goes on. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
