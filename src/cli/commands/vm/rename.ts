// banger vm rename
import { reference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string, string]>({
  about: `Gives a VM another name. Its id, disks and processes stay. Inside, a running guest keeps the host name that it was started
with; a restart brings the new one.`,
  examples: [["banger vm rename swift-otter web", "from now on it is web"]],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [reference("vm"), { parse: String, placeholder: "name", brief: "1 to 63 of a-z 0-9 and -" }],
    },
  },
  async run(context, _flags, vm, name) {
    await using client = await context.connect();
    const record = await client.call("vm.rename", { vm, name });
    const { terminal } = context;
    if (terminal.json) terminal.printJson(record);
    else terminal.print(terminal.quiet ? record.id : record.name);
  },
});
