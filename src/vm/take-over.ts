// The lock of a VM for a verb that ends it: it does not wait for what keeps the verb under way waiting.
import { BangerError } from "../lib/errors.ts";
import type { VmRow } from "../state/vms.ts";
import type { VmContext } from "./context.ts";
import { endMachine, type Session } from "./sessions.ts";

type Parts = Pick<VmContext, "locks" | "sessions" | "starting">;

/**
 * Takes the lock once the verb under way has been cut short. Verbs that come later wait behind this one. `why`: what those are told who work
 * with the guest.
 */
export async function takeOver(context: Parts, row: VmRow, why: BangerError, signal: AbortSignal): Promise<Disposable> {
  const lock = context.locks.acquire(row.id, signal);
  // It may be given up while nobody awaits it yet.
  lock.catch(() => {});
  try {
    await cutShort(context, row, why);
  } catch (error) {
    lock.then(
      (held) => held[Symbol.dispose](),
      () => {},
    );
    throw error;
  }
  return await lock;
}

/**
 * The error of a verb that was at work with the machine of `session` when it met `error`: `cancelled` when another verb has taken over and
 * ended that machine, of which `error` is only a consequence; else `error` itself. `doing`: what cannot be any more, for people.
 */
export function unlessTakenOver(error: unknown, session: Session | undefined, row: VmRow, doing: string): unknown {
  if (session?.ending !== true) return error;
  return cutShortError(row, doing, session.why, error);
}

/** Ends what keeps a verb waiting: the start under way, or the VMM of the running machine. */
async function cutShort({ sessions, starting }: Parts, row: VmRow, why: BangerError): Promise<void> {
  starting.get(row.id)?.abort(cutShortError(row, "it was starting", why));
  const session = sessions.get(row.id);
  if (session === undefined) return;
  await endMachine(session, why);
}

function cutShortError({ name }: VmRow, doing: string, why: BangerError | undefined, cause?: unknown): BangerError {
  const hint = why?.hint;
  return new BangerError("cancelled", `VM "${name}" was ended while ${doing}`, { cause, ...(hint && { hint }) });
}
