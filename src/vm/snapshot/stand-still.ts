// Holds a guest still for something, and lets it go on whatever came of that.
import type { GuestAgent } from "../../guest/agent.ts";
import { deadline, orAborted } from "../../lib/abort.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import type { VmRow } from "../../state/vms.ts";
import type { VmContext } from "../context.ts";
import type { Session } from "../sessions.ts";
import { wakeGuest } from "../wake-guest.ts";

/** How long the guest may take to stop its processes, with and without writing its caches before, and to continue them. */
const syncTimeoutMs = 120_000;
const freezeTimeoutMs = 15_000;
const wakeTimeoutMs = 30_000;

type Parts = Pick<VmContext, "log" | "sessions" | "state">;

/**
 * Runs `body` while processes and CPUs of a guest stand still; returns for how many milliseconds they did. `sync`: the disks alone can
 * be booted from. A VM that is paused, with its VMM there, stands still already and stays so. Throws what the guest, the VMM or
 * `body` throws, or the signal's reason; the guest goes on all the same, or the VM is "broken" with the reason.
 */
export async function standingStill(
  parts: Parts,
  row: VmRow,
  session: Session,
  options: { sync: boolean; signal: AbortSignal },
  body: () => Promise<void>,
): Promise<number> {
  if (row.state === "paused") {
    await body();
    return 0;
  }
  const { machine } = session;
  const agent = await orAborted(session.agent, options.signal);
  let sinceMs = performance.now();
  parts.sessions.hold(row.id);
  try {
    await freeze(agent, options);
    crashPoint("snapshot.frozen");
    sinceMs = performance.now();
    await machine.pause();
    crashPoint("snapshot.stopped");
    await body();
  } finally {
    await goOn(parts, row, session, agent);
  }
  return Math.round((performance.now() - sinceMs) * 10) / 10;
}

async function freeze(agent: GuestAgent, options: { sync: boolean; signal: AbortSignal }): Promise<void> {
  const timeoutMs = options.sync ? syncTimeoutMs : freezeTimeoutMs;
  using limit = deadline(options.signal, timeoutMs, () => {
    const slow = `the guest did not stop its processes within ${timeoutMs / 1000} s`;
    return new BangerError("snapshot.failed", slow);
  });
  await agent.freeze({ sync: options.sync, signal: limit.signal });
}

/** Also after a freeze that failed: the guest may have been frozen before, or after, it was given up. Never throws. */
async function goOn(parts: Parts, row: VmRow, session: Session, agent: GuestAgent): Promise<void> {
  using limit = deadline(neverAborted, wakeTimeoutMs, () => {
    return new BangerError("guest.unreachable", `the guest did not answer within ${wakeTimeoutMs / 1000} s`);
  });
  const { signal } = limit;
  try {
    // Once more: a VMM that did not answer in time may have been busy.
    await session.machine.resume().catch(() => session.machine.resume());
    crashPoint("snapshot.cpus-continued");
    parts.sessions.release(row.id);
    try {
      await agent.thaw({ signal });
    } catch {
      // The session broke, or the guest was not frozen: asked again by whoever has its channel now.
      await wakeGuest(await orAborted(session.agent, signal), row.id, { signal });
    }
  } catch (thrown) {
    parts.sessions.release(row.id);
    // A machine that has ended, or is being ended, has told so already.
    if (parts.sessions.get(row.id) !== session || session.ending) return;
    const reason = `it could not go on after a snapshot: ${toBangerError(thrown).message}`;
    parts.log.error("a VM could not go on", { vm: row.id, error: thrown });
    parts.state.vms.update(row.id, { state: "broken", reason });
  }
}

const neverAborted = new AbortController().signal;
