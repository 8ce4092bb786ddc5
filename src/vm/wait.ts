// Waiting for a VM: for a state, until it takes commands, or until something listens on one of its ports.
import { setTimeout as delay } from "node:timers/promises";
import type { WaitCondition } from "../api/vm-record-methods.ts";
import { deadline, orAborted } from "../lib/abort.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { formatDuration } from "../lib/units.ts";
import type { VmRow } from "../state/vms.ts";
import type { VmChanges } from "./changes.ts";
import type { VmContext } from "./context.ts";

/** Between two looks into the guest: it cannot be told to report a listener. */
const shortestPauseMs = 50;
const longestPauseMs = 1000;
/** A restart, a restore or a delete takes so long, at the most, from the end of the machine to what it does next. */
const restartMs = 1000;

export interface WaitOptions {
  signal: AbortSignal;
  /** Default: for ever. */
  timeoutMs?: number | undefined;
}

/**
 * Returns once it is so. Throws `timeout`; `vm.not-found` when the VM is deleted meanwhile; and `vm.wrong-state` when what is waited
 * for cannot come any more: a command or a port of a VM that has stopped.
 */
export async function waitForVm(
  context: VmContext,
  changes: VmChanges,
  row: VmRow,
  condition: WaitCondition,
  options: WaitOptions,
): Promise<void> {
  const what = typeof condition === "string" ? condition : `port ${condition.port}`;
  using limit = deadline(
    options.signal,
    options.timeoutMs ?? 2 ** 31 - 1,
    () =>
      new BangerError(
        "timeout",
        `VM "${row.name}": ${what} was not reached within ${formatDuration(options.timeoutMs ?? 0)}`,
        { hint: `banger vm show ${row.name}` },
      ),
  );
  const { signal } = limit;
  let changed = Promise.withResolvers<void>();
  using _listener = changes.listen((_event, id) => {
    if (id === row.id) changed.resolve();
  });
  let pauseMs = shortestPauseMs;
  let upAtMs = Number.NEGATIVE_INFINITY;
  const changedWithin = async (ms: number) => {
    const abort = new AbortController();
    const pause = delay(ms, undefined, { signal: AbortSignal.any([signal, abort.signal]) }).catch(() => {});
    await Promise.race([changed.promise, pause]);
    abort.abort();
    signal.throwIfAborted();
  };
  for (;;) {
    changed = Promise.withResolvers();
    const now = context.state.vms.get(row.id);
    if (now === undefined) {
      if (condition === "deleted") return;
      throw new BangerError("vm.not-found", `VM "${row.name}" was deleted`, { hint: "banger vm list" });
    }
    if (await holds(context, now, condition, signal)) return;
    if (asksGuest(condition) && now.state === "running") {
      await changedWithin(pauseMs);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      upAtMs = performance.now();
    } else if (asksGuest(condition) && (now.state === "stopped" || now.state === "broken")) {
      const leftMs = upAtMs + restartMs - performance.now();
      if (leftMs <= 0) throw ended(now, what);
      await changedWithin(leftMs);
    } else {
      await orAborted(changed.promise, signal);
    }
  }
}

const asksGuest = (condition: WaitCondition) => condition === "exec" || typeof condition !== "string";

async function holds(context: VmContext, row: VmRow, condition: WaitCondition, signal: AbortSignal): Promise<boolean> {
  if (condition === "stopped") return row.state === "stopped" || row.state === "created" || row.state === "broken";
  if (!asksGuest(condition)) return row.state === condition;
  const session = context.sessions.get(row.id);
  if (row.state !== "running" || session === undefined) return false;
  try {
    const agent = await orAborted(session.agent, signal);
    if (condition === "exec") return (await agent.health({ signal })).healthy;
    if (typeof condition === "string") return false;
    (await agent.dial({ tcp: String(condition.port) }, { signal })).destroy();
    return true;
  } catch (error) {
    signal.throwIfAborted();
    context.log.debug("not yet", { vm: row.id, reason: toBangerError(error).message });
    return false;
  }
}

function ended({ name, state, reason }: VmRow, what: string): BangerError {
  return new BangerError(
    "vm.wrong-state",
    `VM "${name}" is ${state}${reason === "" ? "" : ` (${reason})`}: it will not reach ${what}`,
    { hint: `banger vm start ${name}` },
  );
}
