// banger vm show
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Prints the whole record of one VM as JSON: state (and why, when nobody asked for it), image, kernel, sizes, process,
directory, times, what it may reach (network), the snapshot that its disks rest on, and how its last start went (lastStart). With --quiet only the id.`,
  examples: [
    ["banger vm show sandbox", "everything about one VM"],
    ["banger vm show sandbox | jq -r .state", "one field"],
    ["banger vm show sandbox | jq .lastStart", "whether it booted or was restored, why, and how long each phase took"],
  ],
  parameters: { positional: oneReference("vm") },
  async run(context, _flags, vm) {
    await using client = await context.connect();
    const record = await client.call("vm.show", { vm });
    if (context.terminal.quiet) context.terminal.print(record.id);
    else context.terminal.printJson(record);
  },
});
