// banger vm stop
import { manyReferences } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { operateOnVms } from "../../vm-targets.ts";

export default defineCommand<NonNullable<unknown>, string[]>({
  about: `Shuts VMs down cleanly: processes end, data is written, file systems are unmounted. The VM and its disks stay;
"vm start" starts it again. A VM that does not answer in time is ended by force; a paused one goes on for it.

What "vm run" runs is asked first, by the image's stop signal (SIGTERM when it names none), and has half of stop_timeout_s to end;
then every other process is asked.

Not what you want? "vm kill" ends a VM at once. "vm delete" also removes its disks. "vm restart" starts it again.
Several VMs are stopped in parallel. With --json: an array of their records.`,
  examples: [
    ["banger vm stop sandbox", "shut one down"],
    ["banger vm stop $(banger ps --quiet)", "shut all down"],
  ],
  parameters: { positional: manyReferences("vm") },
  run: (context, _flags, ...vms) => operateOnVms(context, "vm.stop", vms),
});
