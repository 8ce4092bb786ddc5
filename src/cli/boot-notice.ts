// Tells when a VM booted although its memory should have been restored: what ran before does not run in it.
import type { VmRecord } from "../api/records.ts";
import type { Terminal } from "./output/terminal.ts";

/** To be called with a VM that was just started, unless a boot was asked for. Says nothing when there was nothing to restore. */
export function noticeBoot(terminal: Terminal, { name, lastStart }: Pick<VmRecord, "name" | "lastStart">): void {
  if (lastStart?.kind !== "cold" || lastStart.reason === "") return;
  terminal.notice(`${name}: booted instead: ${lastStart.reason}`, "yellow");
}
