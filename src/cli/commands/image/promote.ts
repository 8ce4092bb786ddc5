// banger image promote
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { operate } from "../../operate.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Copies the file of a registered image into banger's own store: the original may then change or go. An image that lies there
already stays as it is.`,
  examples: [["banger image promote mine", "make it independent of the file it was registered from"]],
  parameters: { positional: oneReference("image") },
  async run(context, _flags, image) {
    await using client = await context.connect();
    const record = await operate(context, client, "image.promote", { image });
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : record.name);
  },
});
