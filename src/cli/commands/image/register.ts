// banger image register
import { resolve } from "node:path";
import { nameFromFile } from "../../../lib/name-from-file.ts";
import { pathOperand } from "../../arguments.ts";
import { defineCommand, flag, option } from "../../command.ts";
import { operate } from "../../operate.ts";

export default defineCommand<{ readonly name?: string; readonly force?: boolean }, [string]>({
  about: `Makes an image of an ext4 file, which stays where it is and must not change any more, or of a directory tree, of which a copy is
made. VMs only read it. "image promote" copies a registered file, so that the original may go. Prints the image's name.`,
  examples: [["banger image register ./rootfs.ext4 --name mine", "an image that uses this file"]],
  parameters: {
    positional: { kind: "tuple", parameters: [pathOperand("path", "ext4 file, or directory")] },
    flags: {
      name: option("name of the image; default: made of the file's name", "name"),
      force: flag("take the name over from an image that has it"),
    },
  },
  async run(context, { name, force }, file) {
    await using client = await context.connect();
    const path = resolve(context.cwd, file);
    const params = { path, name: name ?? nameFromFile(path), ...(force === true ? { force } : {}) };
    const record = await operate(context, client, "image.register", params);
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : record.name);
  },
});
