// The session with a VM that runs, or why there is none and what helps.
import { BangerError } from "../lib/errors.ts";
import type { VmRow } from "../state/vms.ts";
import type { Session, Sessions } from "./sessions.ts";

/** Throws `vm.wrong-state`, `vm.broken`. */
export function runningSession(sessions: Sessions, row: VmRow): Session {
  if (row.state === "broken") {
    throw new BangerError("vm.broken", `VM "${row.name}" is broken: ${row.reason}`, {
      hint: `banger vm restart ${row.name}`,
    });
  }
  if (row.state === "paused") throw pausedError(row);
  const session = sessions.get(row.id);
  if (session === undefined || row.state !== "running") {
    throw new BangerError("vm.wrong-state", `VM "${row.name}" is not running (${row.state})`, {
      hint: `banger vm start ${row.name}`,
    });
  }
  return session;
}

export function pausedError({ name }: VmRow): BangerError {
  return new BangerError("vm.wrong-state", `VM "${name}" is paused`, { hint: `banger vm resume ${name}` });
}
