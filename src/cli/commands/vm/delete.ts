// banger vm delete, banger vm rm
import { manyReferences } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { operateOnVms } from "../../vm-targets.ts";

export default defineCommand<NonNullable<unknown>, string[]>({
  about: `Ends VMs, running or not, and removes their disks. This cannot be undone: copy out what you need first ("vm cp").

To keep the disks use "vm stop". Several VMs are deleted in parallel. With --json:
an array of the records that they had.`,
  examples: [
    ["banger vm delete sandbox", "remove one VM"],
    ["banger vm rm web db", "remove two (rm is the same as delete)"],
  ],
  parameters: { positional: manyReferences("vm") },
  run: (context, _flags, ...vms) => operateOnVms(context, "vm.delete", vms),
});
