// banger vm health
import { formatDuration } from "../../../lib/units.ts";
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Says whether a running VM can start processes, and how long it has been up. Exits with 1 when it cannot.`,
  examples: [["banger vm health sandbox", "can it work?"]],
  parameters: { positional: oneReference("vm") },
  async run(context, _flags, vm) {
    await using client = await context.connect();
    const reply = await client.call("vm.health", { vm });
    const { terminal } = context;
    if (!reply.healthy) context.exitCode = 1;
    if (terminal.json) terminal.printJson(reply);
    else
      terminal.print(reply.healthy ? `healthy, up ${formatDuration(reply.uptimeMs)}` : `not healthy: ${reply.reason}`);
  },
});
