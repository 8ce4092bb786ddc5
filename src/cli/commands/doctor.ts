// banger doctor
import type { Check } from "../../api/records.ts";
import { defineCommand } from "../command.ts";
import { printableLine } from "../output/sanitise.ts";
import type { Terminal } from "../output/terminal.ts";

const styles = { PASS: "green", WARN: "yellow", FAIL: "red" } as const;

export default defineCommand({
  about: `Checks whether this host can run VMs and whether banger's own state is sound; changes nothing. PASS is good, WARN works with
limits, FAIL has to be mended: the command that mends it stands below it. Exits with 1 when anything is FAIL.`,
  examples: [
    ["banger doctor", "check everything"],
    ["banger doctor --json", "the same for programs: a JSON array"],
  ],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { checks } = await client.call("doctor.run", {}, { signal: context.interrupts.signal });
    if (context.terminal.json) context.terminal.printJson(checks);
    else for (const check of checks) printCheck(context.terminal, check);
    if (checks.some((check) => check.status === "FAIL")) context.exitCode = 1;
  },
});

function printCheck(terminal: Terminal, check: Check): void {
  if (terminal.quiet && check.status === "PASS") return;
  const status = terminal.stdout.isTTY === true ? terminal.style(styles[check.status], check.status) : check.status;
  terminal.stdout.write(`${status}  ${printableLine(check.name)}\n`);
  for (const detail of check.details) terminal.print(`  - ${printableLine(detail)}`);
  if (check.fix !== "") terminal.print(`  fix: ${printableLine(check.fix)}`);
}
