// banger image import
import { resolve } from "node:path";
import { pathOperand } from "../../arguments.ts";
import { defineCommand, flag, option } from "../../command.ts";
import { nameFromFile } from "../../name-from-file.ts";
import { operate } from "../../operate.ts";

export default defineCommand<{ readonly name?: string; readonly force?: boolean }, [string]>({
  about: `Makes an image from a tar of a root file system: plain or compressed with gzip, zstd or xz. Owners, modes, links and
extended attributes are kept; no root is needed. Nothing of banger has to be inside. Prints the image's name.

Next: banger vm run --image <name>`,
  examples: [
    ["banger image import ./rootfs.tar --name mine", "an image named mine"],
    ["docker export $(docker create alpine) > alpine.tar && banger image import alpine.tar", "from a container"],
  ],
  parameters: {
    positional: { kind: "tuple", parameters: [pathOperand("file", "tar of a root file system")] },
    flags: {
      name: option("name of the image; default: the file's name", "name"),
      force: flag("replace an image of that name"),
    },
  },
  async run(context, { name, force }, file) {
    await using client = await context.connect();
    const path = resolve(context.cwd, file);
    const params = { path, name: name ?? nameFromFile(path), ...(force === true ? { force } : {}) };
    const record = await operate(context, client, "image.import", params);
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : record.name);
  },
});
