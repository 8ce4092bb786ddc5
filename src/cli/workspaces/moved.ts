// Tells that the host's repository went on since it was put into a VM, and brings the VM up to date when that is wanted.
import type { Client } from "../../sdk/client.ts";
import type { CliContext } from "../context.ts";
import { operate } from "../operate.ts";

/**
 * `prepare`: put what changed on the host into the VM first. Else a notice says so: before the command when it gets a terminal, beside it
 * otherwise. `told` resolves when that is over; it never rejects.
 */
export async function beforeCommand(
  context: CliContext,
  client: Client,
  vm: string,
  { prepare, interactive }: { prepare: boolean; interactive: boolean },
): Promise<{ told: Promise<void> }> {
  if (prepare) {
    await operate(context, client, "workspace.refresh", { vm }, { label: vm });
    return { told: Promise.resolve() };
  }
  const told = notice(context, client, vm);
  // A terminal that belongs to the guest is no place for words of ours.
  if (interactive) await told;
  return { told };
}

async function notice({ terminal, interrupts }: CliContext, client: Client, vm: string): Promise<void> {
  try {
    const { moved, root, prepared, now } = await client.call(
      "workspace.moved.inspect",
      { vm },
      { signal: interrupts.signal },
    );
    if (!moved) return;
    const from = prepared?.slice(0, 12) ?? "no commit";
    terminal.notice(
      `${root} is at ${now?.slice(0, 12) ?? "no commit"} by now, and ${vm} has it as of ${from}: --auto-prepare brings it up to date`,
      "yellow",
    );
  } catch {
    // The command itself says what is wrong with the VM or the daemon.
  }
}
