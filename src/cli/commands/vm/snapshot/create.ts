// banger vm snapshot create
import { formatDuration } from "../../../../lib/units.ts";
import { reference } from "../../../arguments.ts";
import { defineCommand } from "../../../command.ts";
import { operate } from "../../../operate.ts";

export default defineCommand<NonNullable<unknown>, [string, string?]>({
  about: `Keeps the memory and the disks of a VM as they are at one instant; the VM runs on after a halt of some tens of milliseconds.
Of a paused VM it holds the memory that waits; of a stopped one disks only. Prints the snapshot's name.

Next: "vm restore <vm> <snapshot>" puts the VM back, "vm fork <snapshot>" makes further VMs that go on from it.`,
  examples: [
    ["banger vm snapshot create sandbox before-upgrade", "keep a state under a name"],
    ["banger vm snapshot create sandbox", "the same with a generated name"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [
        reference("vm"),
        {
          parse: String,
          placeholder: "name",
          brief: "name of the snapshot: 1 to 63 of a-z 0-9 and -; <vm>-1, ... when left out",
          optional: true,
        },
      ],
    },
  },
  async run(context, _flags, vm, name) {
    await using client = await context.connect();
    const params = { vm, ...(name === undefined ? {} : { name }) };
    const record = await operate(context, client, "snapshot.create", params);
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(record);
    terminal.print(terminal.quiet ? record.id : record.name);
    if (record.pausedMs > 0) {
      terminal.notice(`${record.vm.name}: stood still for ${formatDuration(record.pausedMs)}`, "dim");
    }
    terminal.notice(
      `next: banger vm fork ${record.name}, or banger vm restore ${record.vm.name} ${record.name}`,
      "dim",
    );
  },
});
