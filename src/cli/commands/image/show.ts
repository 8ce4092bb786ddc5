// banger image show
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Prints the record of one image as JSON: where it came from, its digest, its file, its default user and environment.`,
  examples: [["banger image show debian-bookworm", "everything about one image"]],
  parameters: { positional: oneReference("image") },
  async run(context, _flags, image) {
    await using client = await context.connect();
    const record = await client.call("image.show", { image });
    if (context.terminal.quiet) context.terminal.print(record.id);
    else context.terminal.printJson(record);
  },
});
