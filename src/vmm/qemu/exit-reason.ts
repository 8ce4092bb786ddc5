// Words for the end of a machine, from what was seen of it: QEMU's last event and the end of its process.
import type { MachineExit } from "../driver.ts";

export interface ExitFacts {
  /** The daemon asked for it with kill(). */
  killed: boolean;
  /** The VMM broke the protocol of its control socket and was ended for it. */
  violation: string | undefined;
  /** `reason` of QMP's SHUTDOWN event. */
  shutdownReason: string | undefined;
  /** How the process ended ("exit code 1", "signal SIGKILL"): only known to the parent. */
  processEnd: string | undefined;
  /** Last line of the VMM's log. */
  lastWords: string;
}

/** Reasons of QMP's SHUTDOWN event (ShutdownCause in QEMU's qapi/run-state.json) that say more than the process's end. */
const shutdownReasons: Readonly<Record<string, MachineExit>> = {
  "guest-shutdown": { reason: "the guest powered off", expected: true },
  "guest-reset": { reason: "the guest restarted: a reboot or a kernel panic, see its console", expected: false },
  "guest-panic": { reason: "the guest's kernel panicked, see its console", expected: false },
  "host-signal": { reason: "the VMM was ended by a signal", expected: false },
  "host-error": { reason: "the VMM stopped because of an error on the host", expected: false },
  "host-qmp-quit": { reason: "the VMM was told to quit", expected: false },
};

/** Why a machine ended, the most telling fact first. */
export function exitReason(facts: ExitFacts): MachineExit {
  if (facts.violation !== undefined) return { reason: `the VMM was ended: ${facts.violation}`, expected: false };
  const shutdown = Object.hasOwn(shutdownReasons, facts.shutdownReason ?? "")
    ? shutdownReasons[facts.shutdownReason ?? ""]
    : undefined;
  if (shutdown !== undefined) return shutdown;
  if (facts.killed) return { reason: "the daemon ended the VMM", expected: true };
  if (facts.processEnd === undefined) return { reason: "the VMM process is gone", expected: false };
  const signal = /^signal (\w+)$/.exec(facts.processEnd)?.[1];
  if (signal !== undefined) return { reason: `the VMM was killed by ${signal}`, expected: false };
  const words = facts.lastWords === "" ? "" : `: ${facts.lastWords}`;
  return { reason: `the VMM ended with ${facts.processEnd}${words}`, expected: false };
}
