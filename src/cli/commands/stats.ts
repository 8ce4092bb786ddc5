// banger stats
import { formatDuration } from "../../lib/units.ts";
import { defineCommand } from "../command.ts";
import { formatTable } from "../output/table.ts";

export default defineCommand({
  about: `Says how long VMs took to start lately, for each way to start: half of the starts were quicker than P50, 19 of 20 quicker than
P95. PHASES are the medians of what a start consists of.

  cold      the kernel booted: there was no template, or --cold was given
  template  from a memory template ("template list") that fits every image
  image     a VM that had never started, from a template of its image
  snapshot  vm fork, vm restore and vm run --warm-from
  pause     vm resume

"vm run --timings" prints the phases of one run, "vm show" those of a VM's last start, and why it booted.`,
  examples: [
    ["banger stats", "how long starts take here"],
    ["banger stats --json", "the same for programs: a JSON array"],
  ],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { starts } = await client.call("stats.starts", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(starts);
    if (starts.length === 0 && terminal.stdout.isTTY === true) {
      return terminal.notice("no VM was started yet: banger vm run starts one", "dim");
    }
    terminal.print(
      formatTable(
        ["start", "count", "p50", "p95", "phases"],
        starts.map(({ kind, count, p50Ms, p95Ms, phases }) => [
          kind,
          String(count),
          formatDuration(p50Ms),
          formatDuration(p95Ms),
          phases.map((phase) => `${phase.name} ${formatDuration(phase.p50Ms)}`).join(", "),
        ]),
      ),
    );
  },
});
