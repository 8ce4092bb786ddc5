// The lock of a VM for a verb that ends it: it does not wait for what keeps the verb under way waiting.
import { BangerError } from "../lib/errors.ts";
import type { VmRow } from "../state/vms.ts";
import type { VmContext } from "./context.ts";

type Parts = Pick<VmContext, "locks" | "sessions" | "starting">;

/** Takes the lock once the verb under way has been cut short. Verbs that come later wait behind this one. */
export async function takeOver(context: Parts, row: VmRow, signal: AbortSignal): Promise<Disposable> {
  const lock = context.locks.acquire(row.id, signal);
  // It may be given up while nobody awaits it yet.
  lock.catch(() => {});
  try {
    await cutShort(context, row);
  } catch (error) {
    lock.then(
      (held) => held[Symbol.dispose](),
      () => {},
    );
    throw error;
  }
  return await lock;
}

/** Ends what keeps a verb waiting: the start under way, or the VMM of the running machine. */
async function cutShort({ sessions, starting }: Parts, row: VmRow): Promise<void> {
  const reason = new BangerError("cancelled", `VM "${row.name}" was ended while it was starting`);
  starting.get(row.id)?.abort(reason);
  const session = sessions.get(row.id);
  if (session === undefined) return;
  session.ending = true;
  await session.machine.kill();
}
