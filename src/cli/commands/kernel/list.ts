// banger kernel list
import { formatAge, formatBytes } from "../../../lib/units.ts";
import { defineCommand } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

export default defineCommand({
  about: `Lists the kernels on this machine. Next: "kernel catalog" shows what can be pulled.`,
  examples: [
    ["banger kernel list", "kernels on this machine"],
    ["banger kernel list --json", "all that is known of them, as a JSON array"],
  ],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { kernels } = await client.call("kernel.list", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(kernels);
    if (terminal.quiet) return kernels.forEach((kernel) => terminal.print(kernel.id));
    const now = Date.now();
    terminal.print(
      formatTable(
        ["id", "name", "version", "arch", "size", "created"],
        kernels.map((kernel) => [
          kernel.id.slice(0, 12),
          kernel.name,
          kernel.version,
          kernel.architecture,
          formatBytes(kernel.sizeBytes),
          formatAge(kernel.createdAt, now),
        ]),
      ),
    );
  },
});
