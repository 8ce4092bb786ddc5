// banger image pull
import { oneReference } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { operate } from "../../operate.ts";

export default defineCommand<{ readonly force?: boolean }, [string]>({
  about: `Makes an image from a recipe of the catalog, on this machine, from the distribution's own packages. Takes a minute or so,
once. "vm run" does it by itself when the image is missing. Prints the image's name.`,
  examples: [
    ["banger image pull debian-bookworm", "make it"],
    ["banger image pull debian-bookworm --force", "make it again, with today's packages"],
  ],
  parameters: {
    positional: oneReference("image-catalog"),
    flags: { force: flag("make it again although it is there") },
  },
  async run(context, { force }, name) {
    await using client = await context.connect();
    const params = { name, ...(force === true ? { force } : {}) };
    const record = await operate(context, client, "image.pull", params);
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : record.name);
  },
});
