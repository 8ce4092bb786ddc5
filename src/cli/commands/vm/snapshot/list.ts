// banger vm snapshot list
import { formatAge, formatBytes } from "../../../../lib/units.ts";
import { optionalReference } from "../../../arguments.ts";
import { defineCommand } from "../../../command.ts";
import { formatTable } from "../../../output/table.ts";

export default defineCommand<NonNullable<unknown>, [string?]>({
  about: `Lists snapshots, newest first; those of one VM when it is named. SIZE is what a snapshot's own files take on this host, USERS
the number of VMs whose disks rest on it. With --quiet only the ids.`,
  examples: [
    ["banger vm snapshot list", "all snapshots"],
    ["banger vm snapshot list sandbox --json", "those of one VM, as a JSON array"],
  ],
  parameters: { positional: optionalReference("vm") },
  async run(context, _flags, vm) {
    await using client = await context.connect();
    const { snapshots } = await client.call("snapshot.list", vm === undefined ? {} : { vm });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(snapshots);
    if (terminal.quiet) return snapshots.forEach((snapshot) => terminal.print(snapshot.id));
    if (snapshots.length === 0 && terminal.stdout.isTTY === true) {
      return terminal.notice(`no snapshot is there: banger vm snapshot create ${vm ?? "<vm>"} makes one`, "dim");
    }
    const now = Date.now();
    terminal.print(
      formatTable(
        ["id", "name", "vm", "image", "holds", "size", "users", "created"],
        snapshots.map((snapshot) => [
          snapshot.id,
          snapshot.name,
          snapshot.warm ? "(image warm)" : snapshot.vm.name,
          snapshot.image.name,
          snapshot.memory ? "memory+disks" : "disks",
          formatBytes(snapshot.usedBytes),
          String(snapshot.usedBy.length),
          formatAge(snapshot.createdAt, now),
        ]),
      ),
    );
  },
});
