// banger vm start
import { manyReferences } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { coldFlag } from "../../vm-options.ts";
import { operateOnVms } from "../../vm-targets.ts";

export default defineCommand<{ readonly cold?: boolean }, string[]>({
  about: `Starts VMs that are stopped or were made with --no-start. Their disks are as they were left; memory is fresh. --cold boots the
kernel instead of restoring a memory template ("template --help").

Several VMs are started in parallel; one that fails does not hold up the others. With --json: an array of their records.
To start a VM afresh that already runs, use "vm restart"; to go on with a paused one, "vm resume".`,
  examples: [
    ["banger vm start sandbox", "start a stopped VM"],
    ["banger vm start web db", "start two at once"],
  ],
  parameters: { positional: manyReferences("vm"), flags: { cold: coldFlag } },
  run: (context, { cold }, ...vms) => operateOnVms(context, "vm.start", vms, cold === true ? { cold } : {}),
});
