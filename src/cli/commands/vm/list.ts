// banger vm list, banger ps
import type { VmState } from "../../../api/records.ts";
import { formatAge, formatBytes } from "../../../lib/units.ts";
import { defineCommand, flag } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

/** With memory of their own, here or on the disk. */
const active: ReadonlySet<VmState> = new Set(["running", "paused"]);

export default defineCommand<{ readonly all?: boolean }>({
  about: `Lists VMs that run or are paused; --all adds those that are stopped, broken or on their way. With --quiet only the ids
are printed, one on each line, for scripts.

DISK is what the VM's own disks take on this host, which is less than the sizes they have in the VM, and while it is paused its
memory; what snapshots below them take stands in "vm snapshot list".`,
  examples: [
    ["banger vm list --all", "every VM"],
    ["banger vm list --all --json", "every VM with all that is known of it, as a JSON array"],
    ["banger vm delete $(banger vm list --all --quiet)", "remove all VMs"],
  ],
  parameters: { flags: { all: flag("also VMs that neither run nor are paused") }, aliases: { a: "all" } },
  async run(context, { all }) {
    await using client = await context.connect();
    const { vms } = await client.call("vm.list", {});
    const shown = all === true ? vms : vms.filter((vm) => active.has(vm.state));
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(shown);
    if (terminal.quiet) return shown.forEach((vm) => terminal.print(vm.id));
    // A pipe gets the header in any case: what reads it need not know the exception.
    if (shown.length === 0 && terminal.stdout.isTTY === true) {
      const stopped = vms.length === 0 ? "" : `  # ${vms.length} more: banger vm list --all`;
      return terminal.notice(
        `no VM ${all === true ? "is there" : "is running"}: banger vm run makes one${stopped}`,
        "dim",
      );
    }
    const now = Date.now();
    terminal.print(
      formatTable(
        ["id", "name", "state", "image", "vcpu", "mem", "disk", "created"],
        shown.map((vm) => [
          vm.id,
          vm.name,
          vm.state,
          vm.image.name,
          String(vm.spec.vcpus),
          `${vm.spec.memoryMib} MiB`,
          formatBytes(vm.diskUsedBytes),
          formatAge(vm.createdAt, now),
        ]),
      ),
    );
  },
});
