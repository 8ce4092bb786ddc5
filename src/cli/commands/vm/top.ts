// banger vm top
import { formatBytes, formatDuration } from "../../../lib/units.ts";
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { durationOption } from "../../duration.ts";
import { formatTable } from "../../output/table.ts";

const defaultIntervalMs = 500;

export default defineCommand<{ readonly interval?: number }, [string]>({
  about: `Lists the processes of a running VM, those that take most processor time first, without any program of the image. CPU is that of
half a second (--interval), 100% is one processor.`,
  examples: [
    ["banger vm top sandbox", "what keeps it busy"],
    ["banger vm top sandbox --interval 3s", "looked at for three seconds"],
  ],
  parameters: {
    positional: oneReference("vm"),
    flags: { interval: durationOption("interval", "how long to watch, at most 5s", { most: "5s" }) },
  },
  async run(context, { interval = defaultIntervalMs }, vm) {
    await using client = await context.connect();
    const { terminal, interrupts } = context;
    const reply = await client.call("vm.processes", { vm, intervalMs: interval }, { signal: interrupts.signal });
    if (terminal.json) return terminal.printJson(reply.processes);
    terminal.print(
      formatTable(
        ["pid", "uid", "state", "cpu", "mem", "time", "command"],
        reply.processes.map((process) => [
          String(process.pid),
          String(process.uid),
          process.state,
          `${process.cpuPercent.toFixed(0)}%`,
          formatBytes(process.residentBytes),
          formatDuration(process.cpuMs),
          process.command,
        ]),
      ),
    );
    if (reply.truncated) terminal.notice("there are more; these took the most processor time", "dim");
  },
});
