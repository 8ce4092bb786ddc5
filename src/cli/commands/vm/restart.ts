// banger vm restart
import { manyReferences } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { coldFlag } from "../../vm-options.ts";
import { operateOnVms } from "../../vm-targets.ts";

export default defineCommand<{ readonly cold?: boolean }, string[]>({
  about: `Stops and starts VMs: fresh memory with the same disks. Running processes are lost. --cold boots the kernel instead of
restoring a memory template ("template --help").

Several VMs are restarted in parallel. With --json: an array of their records.`,
  examples: [["banger vm restart sandbox", "start it afresh"]],
  parameters: { positional: manyReferences("vm"), flags: { cold: coldFlag } },
  run: (context, { cold }, ...vms) => operateOnVms(context, "vm.restart", vms, cold === true ? { cold } : {}),
});
