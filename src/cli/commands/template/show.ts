// banger template show
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Prints the record of one memory template as JSON: kernel, CPUs, memory, VMM, size, when it was made and used. With --quiet only
the id.`,
  examples: [["banger template show 3f9a1c2b", "everything about one template; the beginning of its id is enough"]],
  parameters: { positional: oneReference("template") },
  async run(context, _flags, template) {
    await using client = await context.connect();
    const record = await client.call("template.show", { template });
    if (context.terminal.quiet) context.terminal.print(record.id);
    else context.terminal.printJson(record);
  },
});
