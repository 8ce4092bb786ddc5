// banger vm touch
import { formatDuration } from "../../../lib/units.ts";
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { durationOption, lifetimes } from "../../duration.ts";

export default defineCommand<{ readonly ttl?: number }, [string]>({
  about: `Counts as use of a VM: the time of its --idle-timeout begins anew. With --ttl its age limit is so far from now, whether it had one before or
not.`,
  examples: [
    ["banger vm touch sandbox", "I still need it"],
    ["banger vm touch sandbox --ttl 2h", "for two hours from now"],
  ],
  parameters: {
    positional: oneReference("vm"),
    flags: { ttl: durationOption("ttl", "end it so long from now", lifetimes) },
  },
  async run(context, { ttl }, vm) {
    await using client = await context.connect();
    const record = await client.call("vm.touch", { vm, ...(ttl === undefined ? {} : { ttlMs: ttl }) });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(record);
    terminal.print(terminal.quiet ? record.id : record.name);
    if (record.lifetime === null) terminal.notice("it does not end by itself", "dim");
    else if (record.lifetime.ttlMs !== null) {
      const leftMs = Math.max(0, record.createdAt + record.lifetime.ttlMs - Date.now());
      terminal.notice(`${record.lifetime.action} in ${formatDuration(leftMs)} at the latest`, "dim");
    }
  },
});
