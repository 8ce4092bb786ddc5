// banger vm snapshot delete, banger vm snapshot rm
import { manyReferences } from "../../../arguments.ts";
import { defineCommand } from "../../../command.ts";
import { forTargets } from "../../../targets.ts";

export default defineCommand<NonNullable<unknown>, string[]>({
  about: `Removes snapshots: nothing can go back to them any more. VMs that were forked from them, or put back to them, go on: disks that
they rest on stay until those VMs are gone, too. With --json: an array of the removed records.`,
  examples: [
    ["banger vm snapshot delete before-upgrade", "remove one snapshot"],
    ["banger vm snapshot rm $(banger vm snapshot list sandbox --quiet)", "remove all those of one VM"],
  ],
  parameters: { positional: manyReferences("snapshot") },
  async run(context, _flags, ...snapshots) {
    await using client = await context.connect();
    await forTargets(context, snapshots, {
      find: (snapshot) => client.call("snapshot.show", { snapshot }),
      act: async (record) => {
        await client.call("snapshot.delete", { snapshot: record.id });
        return record;
      },
    });
  },
});
