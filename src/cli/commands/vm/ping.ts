// banger vm ping
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Says whether the agent of a VM answers, and how quickly. Exits with 1 when it does not. "vm health" also asks whether processes can
start.`,
  examples: [["banger vm ping sandbox", "is it there?"]],
  parameters: { positional: oneReference("vm") },
  async run(context, _flags, vm) {
    await using client = await context.connect();
    const reply = await client.call("vm.ping", { vm });
    const { terminal } = context;
    if (!reply.alive) context.exitCode = 1;
    if (terminal.json) terminal.printJson(reply);
    else
      terminal.print(reply.alive ? `alive (${(reply.roundTripMs ?? 0).toFixed(1)} ms)` : `no answer: ${reply.reason}`);
  },
});
