// banger vm resume
import { manyReferences } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { operateOnVms } from "../../vm-targets.ts";

export default defineCommand<NonNullable<unknown>, string[]>({
  about: `Lets paused VMs go on where they were: processes, open files and unsaved work are as they were, and the clock is right.

When the memory does not fit this host any more (another QEMU, processor, kernel or agent), the VM boots from its disks instead, as
after a power cut; lastStart of "vm show" says why. "vm kill" gives the memory up and leaves the VM stopped. Several VMs are resumed in parallel. With --json: an array of their records.`,
  examples: [["banger vm resume sandbox", "go on with a VM"]],
  parameters: { positional: manyReferences("vm") },
  run: (context, _flags, ...vms) => operateOnVms(context, "vm.resume", vms),
});
