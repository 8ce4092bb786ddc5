// Whether the virtual CPUs run, and why not: paused on purpose, or because the host's disk was full.
import { BangerError } from "../../lib/errors.ts";
import type { Control } from "./control.ts";

/** Value of `status` in QMP's query-status, bounded by what is made of it: text that is only compared. */
async function statusOf(control: Control): Promise<string> {
  const answer = await control.command("query-status");
  return String((answer as { status?: unknown } | null)?.status);
}

export async function isPaused(control: Control): Promise<boolean> {
  return (await statusOf(control)) === "paused";
}

/**
 * Stops the CPUs. A machine that stands still because of a full disk would stay in that state and be continued when there is room:
 * it is continued here first, so that it is really paused.
 */
export async function pause(control: Control): Promise<void> {
  for (let tries = 0; tries < 5; tries++) {
    await control.command("stop");
    const status = await statusOf(control);
    if (status === "paused") return;
    if (status !== "io-error") throw new BangerError("vmm.failed", `the VMM is "${status}" after it was paused`);
    await control.command("cont");
  }
  throw new BangerError("vmm.failed", "the machine cannot be paused: its disk fails again and again");
}

/** Continues the CPUs only when a full disk stopped them; then true. */
export async function continueAfterFullDisk(control: Control): Promise<boolean> {
  if ((await statusOf(control)) !== "io-error") return false;
  await control.command("cont");
  return true;
}
