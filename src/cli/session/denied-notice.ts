// After a command that failed: what its VM was not allowed to reach meanwhile, as that may be why.
import type { NetworkRecord } from "../../api/network-records.ts";
import type { Client } from "../../sdk/client.ts";
import type { CliContext } from "../context.ts";

/** More would bury the command's own last words. */
const maxShown = 5;

/** Prints the options that would have allowed it. Never throws: the VM may be gone, and the command's exit code is what counts. */
export async function noticeDenied(context: CliContext, client: Client, vm: string): Promise<void> {
  const { terminal } = context;
  if (terminal.quiet || terminal.json) return;
  const suggestions = new Set<string>();
  try {
    for await (const record of client.events("net.log", { vm }, { signal: context.interrupts.signal })) {
      if (isRefusal(record)) suggestions.add(record.verdict.suggestion);
    }
  } catch {
    return;
  }
  if (suggestions.size === 0) return;
  terminal.notice("its network policy denied what these options would allow:", "yellow");
  for (const suggestion of [...suggestions].slice(0, maxShown)) terminal.notice(`  ${suggestion}`);
  if (suggestions.size > maxShown) terminal.notice(`  and ${suggestions.size - maxShown} more`);
}

function isRefusal({ event, verdict }: NetworkRecord): boolean {
  return event === "denied" && verdict.suggestion !== "";
}
