// banger image tag
import { BangerError } from "../../../lib/errors.ts";
import { reference } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";

type Flags = { readonly force?: boolean; readonly delete?: boolean };

export default defineCommand<Flags, [string, string?]>({
  about: `Gives an image one more name, or takes one away with --delete. An image can be meant by each of its names; "image delete"
removes it with all of them. Names are 1 to 63 of a-z 0-9 and -, or like app:1.0.`,
  examples: [
    ["banger image tag debian-bookworm base", "one more name"],
    ["banger image tag --delete base", "take it away; the image stays"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [
        reference("image"),
        { parse: (text: string) => text, placeholder: "name", brief: "the new name", optional: true },
      ],
    },
    flags: {
      force: flag("take the name over from an image that has it"),
      delete: flag("take the name <image> away from its image"),
    },
  },
  async run(context, { force, delete: remove }, image, name) {
    if ((name === undefined) !== (remove === true)) {
      throw new BangerError("usage", "give an image and a new name, or --delete and the name that goes");
    }
    await using client = await context.connect();
    const record =
      name === undefined
        ? await client.call("image.untag", { name: image })
        : await client.call("image.tag", { image, name, ...(force === true ? { force } : {}) });
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : [record.name, ...record.tags].join("\n"));
  },
});
