// Makes sure that the guest of a machine that runs is the VM that it should be, and that its processes run.
import type { GuestAgent } from "../guest/agent.ts";
import { BangerError } from "../lib/errors.ts";
import type { PhaseClock } from "./phases.ts";

/**
 * Greets the guest and thaws it when it is frozen: as the same machine, with the clock set and fresh entropy. Ends the phases hello
 * and thaw of `clock`. Throws `guest.protocol` when it is another VM's or not in service, or what the calls throw; then it is as it was.
 */
export async function wakeGuest(
  agent: GuestAgent,
  vmId: string,
  options: { signal: AbortSignal; clock?: PhaseClock },
): Promise<void> {
  const { signal, clock } = options;
  const hello = await agent.hello({ signal });
  clock?.end("hello");
  if (hello.vmId !== vmId || (hello.phase !== "running" && hello.phase !== "frozen")) {
    throw new BangerError("guest.protocol", `the guest says it is "${hello.vmId}" in phase "${hello.phase}"`);
  }
  if (hello.phase === "frozen") await agent.thaw({ signal });
  clock?.end("thaw");
}
