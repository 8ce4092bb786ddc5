// banger system prune
import { formatBytes } from "../../../lib/units.ts";
import { defineCommand, flag } from "../../command.ts";
import { operate } from "../../operate.ts";

export default defineCommand<{ readonly all?: boolean; readonly dryRun?: boolean }>({
  about: `Removes what is made anew when it is needed again: blobs of pulled images, templates that no start can use, old logs. With --all also
images and kernels that no VM and no snapshot uses. VMs and snapshots are never touched: see "vm prune" and "vm snapshot delete".`,
  examples: [
    ["banger system prune --all --dry-run", "what would go with --all"],
    ["banger system prune", "free what is of no use"],
  ],
  parameters: {
    flags: { all: flag("also images and kernels of no VM and no snapshot"), dryRun: flag("only say what would go") },
    aliases: { a: "all" },
  },
  async run(context, { all = false, dryRun = false }) {
    await using client = await context.connect();
    const result = await operate(context, client, "system.prune", { all, dryRun });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson({ ...result, dryRun });
    for (const { kind, names, freedBytes } of result.removed) {
      terminal.print(`${kind}: ${names.join(", ")} (${formatBytes(freedBytes)})`);
    }
    if (result.removed.length === 0) terminal.notice("nothing to remove", "dim");
    else terminal.notice(`${dryRun ? "would free" : "freed"} ${formatBytes(result.freedBytes)}`);
  },
});
