// banger vm restore
import { noticeBoot } from "../../boot-notice.ts";
import { reference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { operate } from "../../operate.ts";

export default defineCommand<NonNullable<unknown>, [string, string]>({
  about: `Puts a VM back to one of its own snapshots, in place: its disks, and when the snapshot has memory, also what ran then; of a snapshot
without memory the VM is left stopped. It keeps its name and id. What came after the snapshot is lost; take another snapshot first if it may be needed.

To keep the VM as it is and go on from the snapshot elsewhere, use "vm fork <snapshot>". Prints the VM's name.`,
  examples: [["banger vm restore sandbox before-upgrade", "back to a snapshot"]],
  parameters: { positional: { kind: "tuple", parameters: [reference("vm"), reference("snapshot")] } },
  async run(context, _flags, vm, snapshot) {
    await using client = await context.connect();
    const record = await operate(context, client, "vm.restore", { vm, snapshot });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(record);
    terminal.print(terminal.quiet ? record.id : record.name);
    if (record.state === "running") noticeBoot(terminal, record);
    else terminal.notice(`next: banger vm start ${record.name}`, "dim");
  },
});
