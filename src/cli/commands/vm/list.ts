// banger vm list, banger ps
import { formatAge, formatBytes } from "../../../lib/units.ts";
import { defineCommand, flag } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

export default defineCommand<{ readonly all?: boolean }>({
  about: `Lists running VMs; --all adds those that are stopped, broken or on their way. With --quiet only the ids are
printed, one on each line, for scripts.

DISK is what the VM's disks take on this host, which is less than the sizes they have in the VM.`,
  examples: [
    ["banger vm list --all", "every VM"],
    ["banger vm list --all --json", "every VM with all that is known of it, as a JSON array"],
    ["banger vm delete $(banger vm list --all --quiet)", "remove all VMs"],
  ],
  parameters: { flags: { all: flag("also VMs that do not run") }, aliases: { a: "all" } },
  async run(context, { all }) {
    await using client = await context.connect();
    const { vms } = await client.call("vm.list", {});
    const shown = all === true ? vms : vms.filter((vm) => vm.state === "running");
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
