// banger vm kill
import { manyReferences } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { forTargets } from "../../targets.ts";

export default defineCommand<NonNullable<unknown>, string[]>({
  about: `Ends VMs at once, like pulling the plug: what a guest had not yet written to its disks is lost. The VM stays, stopped,
and "vm start" starts it again. A paused VM gives up its memory.

Use it when "vm stop" hangs. "vm delete" also removes the disks. With --json: an array of their records.`,
  examples: [["banger vm kill sandbox", "end a VM that does not react"]],
  parameters: { positional: manyReferences("vm") },
  async run(context, _flags, ...vms) {
    await using client = await context.connect();
    await forTargets(context, vms, {
      find: (vm) => client.call("vm.show", { vm }),
      act: (record) => client.call("vm.kill", { vm: record.id }),
    });
  },
});
