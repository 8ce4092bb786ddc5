// banger kernel import
import { resolve } from "node:path";
import { pathOperand } from "../../arguments.ts";
import { defineCommand, flag, option } from "../../command.ts";
import { nameFromFile } from "../../../lib/name-from-file.ts";
import { operate } from "../../operate.ts";

export default defineCommand<{ readonly name?: string; readonly force?: boolean }, [string]>({
  about: `Makes a kernel from a Debian kernel package (a .deb file) or from a directory with vmlinuz and lib/modules. Prints its name.

Next: banger vm run --kernel <name>`,
  examples: [
    ["apt-get download linux-image-cloud-amd64", "find the package's name: it depends on the real kernel package"],
    ["banger kernel import ./linux-image-6.1.0-30-cloud-amd64.deb --name mine", "from a package"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [pathOperand("path", ".deb file, or directory with vmlinuz and lib/modules")],
    },
    flags: {
      name: option("name of the kernel; default: the file's name", "name"),
      force: flag("replace a kernel of that name"),
    },
  },
  async run(context, { name, force }, file) {
    await using client = await context.connect();
    const path = resolve(context.cwd, file);
    const params = { path, name: name ?? nameFromFile(path), ...(force === true ? { force } : {}) };
    const record = await operate(context, client, "kernel.import", params);
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : record.name);
  },
});
