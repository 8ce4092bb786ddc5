// banger template prune
import { formatBytes } from "../../../lib/units.ts";
import { defineCommand, flag } from "../../command.ts";

export default defineCommand<{ readonly all?: boolean; readonly dryRun?: boolean }>({
  about: `Removes memory templates that no start can use any more: those of another QEMU, agent or processor, or of a kernel that is
gone. With --all every one; the next VM of each shape then boots and its template is made again. Running VMs go on.

Rarely needed: "templates.max_size" in config.toml bounds the room they take, and those not used for the longest time go first.
Prints the ids of what was removed, and how much room that gave. With --json: {"templates", "freedBytes"}.`,
  examples: [
    ["banger template prune", "remove what is of no use"],
    ["banger template prune --all --dry-run", "what would go with --all"],
  ],
  parameters: {
    flags: { all: flag("also those that are of use"), dryRun: flag("only say what would be removed") },
  },
  async run(context, { all, dryRun }) {
    await using client = await context.connect();
    const result = await client.call("template.prune", {
      ...(all === true ? { all } : {}),
      ...(dryRun === true ? { dryRun } : {}),
    });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(result);
    for (const { id } of result.templates) terminal.print(terminal.quiet ? id : id.slice(0, 12));
    const verb = dryRun === true ? "would free" : "freed";
    if (result.templates.length === 0) terminal.notice("nothing to remove", "dim");
    else terminal.notice(`${verb} ${formatBytes(result.freedBytes)}`, "dim");
  },
});
