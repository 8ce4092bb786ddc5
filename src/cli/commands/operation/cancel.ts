// banger operation cancel
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Asks an operation to stop and to undo what it made, and returns at once. "operation watch" waits for its end. A VM that was being
made goes, too; at Ctrl-C of the command that makes it it stays listed as stopped, with its console.`,
  examples: [["banger operation cancel op-3f9a1c2b", "stop one"]],
  parameters: { positional: oneReference("operation") },
  async run(context, _flags, id) {
    await using client = await context.connect();
    const operation = await client.call("operation.cancel", { id, undo: true });
    if (context.terminal.json) context.terminal.printJson(operation);
    else context.terminal.notice(operation.done ? `${id}: had already ended` : `${id}: is being cancelled`);
  },
});
