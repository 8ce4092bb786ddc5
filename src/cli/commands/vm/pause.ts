// banger vm pause
import { manyReferences } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { operateOnVms } from "../../vm-targets.ts";

export default defineCommand<{ readonly keepRunning?: boolean }, string[]>({
  about: `Halts running VMs with everything that runs in them. Their memory is put on the disk and their processes on this host end:
a paused VM takes no CPU and no memory, and outlives a restart of the daemon and a reboot of this host. "vm resume" lets it
go on where it was, with the time set right.

With --keep-running the memory stays where it is and only the virtual CPUs stop: back at once, but gone when the host reboots.

To have a state that you can come back to several times, use "vm snapshot create". To end what runs and keep only the disks,
use "vm stop". Several VMs are paused in parallel. With --json: an array of their records.`,
  examples: [
    ["banger vm pause sandbox", "put a VM aside"],
    ["banger vm pause web db", "put two aside before a reboot"],
    ["banger vm pause --keep-running sandbox", "stop its CPUs for a moment"],
  ],
  parameters: {
    positional: manyReferences("vm"),
    flags: { keepRunning: flag("keep the memory in this host's memory: only the virtual CPUs stop") },
  },
  run: (context, { keepRunning }, ...vms) =>
    operateOnVms(context, "vm.pause", vms, keepRunning === true ? { keepRunning } : {}),
});
