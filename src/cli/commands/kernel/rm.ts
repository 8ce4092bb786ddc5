// banger kernel rm, banger kernel delete
import { manyReferences } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { forTargets } from "../../targets.ts";

export default defineCommand<NonNullable<unknown>, string[]>({
  about: `Removes kernels. Refused while a VM uses the kernel: delete the VM first. With --json: an array of the
removed records.`,
  examples: [["banger kernel rm old", "remove one kernel"]],
  parameters: { positional: manyReferences("kernel") },
  async run(context, _flags, ...kernels) {
    await using client = await context.connect();
    await forTargets(context, kernels, {
      find: (kernel) => client.call("kernel.show", { kernel }),
      act: async (record) => {
        await client.call("kernel.delete", { kernel: record.id });
        return record;
      },
    });
  },
});
