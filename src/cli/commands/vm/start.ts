// banger vm start
import { manyReferences } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { operateOnVms } from "../../vm-targets.ts";

export default defineCommand<NonNullable<unknown>, string[]>({
  about: `Boots VMs that are stopped or were made with --no-start. Their disks are as they were left.

Several VMs are started in parallel; one that fails does not hold up the others. With --json: an array of their records.
To boot a VM afresh that already runs, use "vm restart".`,
  examples: [
    ["banger vm start sandbox", "boot a stopped VM"],
    ["banger vm start web db", "boot two at once"],
  ],
  parameters: { positional: manyReferences("vm") },
  run: (context, _flags, ...vms) => operateOnVms(context, "vm.start", vms),
});
