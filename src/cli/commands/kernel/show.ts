// banger kernel show
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Prints the record of one kernel as JSON: version, source, files, digest.`,
  examples: [["banger kernel show debian-cloud", "everything about one kernel"]],
  parameters: { positional: oneReference("kernel") },
  async run(context, _flags, kernel) {
    await using client = await context.connect();
    const record = await client.call("kernel.show", { kernel });
    if (context.terminal.quiet) context.terminal.print(record.id);
    else context.terminal.printJson(record);
  },
});
