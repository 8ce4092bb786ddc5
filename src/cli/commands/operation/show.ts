// banger operation show
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Prints the record of one operation as JSON: stage, progress, times, and its error or result once it is done.`,
  examples: [["banger operation show op-3f9a1c2b", "everything about one operation"]],
  parameters: { positional: oneReference("operation") },
  async run(context, _flags, id) {
    await using client = await context.connect();
    context.terminal.printJson(await client.call("operation.show", { id }));
  },
});
