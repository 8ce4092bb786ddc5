// banger vm restart
import { manyReferences } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { operateOnVms } from "../../vm-targets.ts";

export default defineCommand<NonNullable<unknown>, string[]>({
  about: `Stops and starts VMs: a fresh boot of the kernel with the same disks. Running processes are lost.

Several VMs are restarted in parallel. With --json: an array of their records.`,
  examples: [["banger vm restart sandbox", "boot it afresh"]],
  parameters: { positional: manyReferences("vm") },
  run: (context, _flags, ...vms) => operateOnVms(context, "vm.restart", vms),
});
