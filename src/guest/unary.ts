// Calls with one request and one reply.
import type { CallOptions } from "./agent.ts";
import type { FailureCodes } from "./failure.ts";
import { reasonOf } from "./failure.ts";
import type { GuestSession } from "./session.ts";

/** Runs one call under the caller's signal; its errors become BangerErrors. */
export async function unary<Reply>(
  session: GuestSession,
  codes: FailureCodes,
  options: CallOptions,
  start: (call: { signal: AbortSignal }) => Promise<Reply>,
): Promise<Reply> {
  if (options.signal.aborted) throw reasonOf(options.signal);
  try {
    return await start({ signal: options.signal });
  } catch (error) {
    throw await session.failure(error, codes, options.signal);
  }
}
