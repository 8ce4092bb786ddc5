// banger kernel pull
import { oneReference } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { operate } from "../../operate.ts";

export default defineCommand<{ readonly force?: boolean }, [string]>({
  about: `Fetches a kernel of the catalog from the distribution's mirror. "vm run" does it by itself when the kernel is missing.
Prints the kernel's name. Names: "kernel catalog".`,
  examples: [["banger kernel pull $(banger kernel catalog --quiet | head -n 1)", "fetch the first one of the catalog"]],
  parameters: {
    positional: oneReference("kernel-catalog"),
    flags: { force: flag("fetch it again although it is there") },
  },
  async run(context, { force }, name) {
    await using client = await context.connect();
    const params = { name, ...(force === true ? { force } : {}) };
    const record = await operate(context, client, "kernel.pull", params);
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : record.name);
  },
});
