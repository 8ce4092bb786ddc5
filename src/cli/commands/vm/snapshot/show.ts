// banger vm snapshot show
import { oneReference } from "../../../arguments.ts";
import { defineCommand } from "../../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Prints the whole record of one snapshot as JSON: of which VM, image and kernel it is, its sizes, whether it has memory, what it
rests on, which VMs rest on it, and for how long the VM stood still for it. With --quiet only the id.`,
  examples: [
    ["banger vm snapshot show before-upgrade", "everything about one snapshot"],
    ["banger vm snapshot show before-upgrade | jq -r .usedBy[]", "the VMs that use it"],
  ],
  parameters: { positional: oneReference("snapshot") },
  async run(context, _flags, snapshot) {
    await using client = await context.connect();
    const record = await client.call("snapshot.show", { snapshot });
    if (context.terminal.quiet) context.terminal.print(record.id);
    else context.terminal.printJson(record);
  },
});
