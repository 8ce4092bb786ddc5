// What those are told who work with a guest when its machine ends: what became of the VM, and the command that leads on.
import { BangerError } from "../lib/errors.ts";

type Named = { readonly name: string };

/** `why`: "" when somebody asked for it. */
function cutOff({ name }: Named, what: string, why: string, hint: string): BangerError {
  return new BangerError("guest.unreachable", `VM "${name}" ${what}${why === "" ? "" : `: ${why}`}`, { hint });
}

export const wasEnded = (vm: Named, why = "") => cutOff(vm, "was ended", why, `banger vm start ${vm.name}`);

export const wasStopped = (vm: Named, why = "") => cutOff(vm, "was stopped", why, `banger vm start ${vm.name}`);

/** By itself, or by somebody outside. */
export const hasEnded = (vm: Named, why: string) => cutOff(vm, "has ended", why, `banger vm start ${vm.name}`);

export const wasDeleted = (vm: Named) => cutOff(vm, "was deleted", "", "banger vm list");

export const wasPaused = (vm: Named) => cutOff(vm, "was paused", "", `banger vm resume ${vm.name}`);

export const wasRestarted = (vm: Named) => cutOff(vm, "was restarted", "", untilUp(vm));

/** `goesOn`: from its memory; else it is stopped now. */
export function wasRestored(vm: Named, snapshot: string, { goesOn }: { goesOn: boolean }): BangerError {
  return cutOff(vm, `was put back to snapshot "${snapshot}"`, "", goesOn ? untilUp(vm) : `banger vm start ${vm.name}`);
}

const untilUp = ({ name }: Named) => `banger vm wait ${name}  # until it runs again`;
