// banger vm prune
import { BangerError } from "../../../lib/errors.ts";
import { formatAge, formatBytes } from "../../../lib/units.ts";
import { defineCommand, flag } from "../../command.ts";
import { formatTable } from "../../output/table.ts";
import { askLine } from "../../prompt.ts";
import { operateOnVms } from "../../vm-targets.ts";

const idle = new Set(["created", "stopped", "broken"]);

export default defineCommand<{ readonly force?: boolean; readonly dryRun?: boolean }>({
  about: `Removes every VM that does not run, with its disks, after it has listed them and you have agreed. VMs that run, that are paused or
on their way to a state are never touched.`,
  examples: [
    ["banger vm prune", "list them, ask, remove"],
    ["banger vm prune --force", "without a question, for scripts"],
  ],
  parameters: {
    flags: { force: flag("do not ask"), dryRun: flag("only list what would be removed") },
    aliases: { f: "force" },
  },
  async run(context, { force = false, dryRun = false }) {
    const { terminal } = context;
    await using client = await context.connect();
    const { vms } = await client.call("vm.list", {});
    const found = vms.filter((vm) => idle.has(vm.state));
    if (dryRun && terminal.json) return terminal.printJson(found);
    if (found.length === 0) {
      if (terminal.json) terminal.printJson([]);
      else terminal.notice("nothing to remove: every VM runs, is paused, or is on its way", "dim");
      return;
    }
    const now = Date.now();
    const table = formatTable(
      ["id", "name", "state", "disk", "created"],
      found.map((vm) => [vm.id, vm.name, vm.state, formatBytes(vm.diskUsedBytes), formatAge(vm.createdAt, now)]),
    );
    if (dryRun && terminal.quiet) return found.forEach((vm) => terminal.print(vm.id));
    if (dryRun) return terminal.print(table);
    if (!force) {
      for (const line of table.trimEnd().split("\n")) terminal.notice(line);
      const these = found.length === 1 ? "this VM and its disks" : `these ${found.length} VMs and their disks`;
      const answer = await askLine(context, `Remove ${these}? (y/N)`, {
        hidden: false,
      }).catch((error: unknown) => {
        if (!(error instanceof BangerError) || error.code !== "usage") throw error;
        throw new BangerError("usage", "vm prune: there is no terminal to ask on", { hint: "banger vm prune --force" });
      });
      if (!/^y(?:es)?$/i.test(answer.trim())) {
        terminal.notice("nothing was removed");
        return;
      }
    }
    await operateOnVms(
      context,
      "vm.delete",
      found.map((vm) => vm.id),
      { onlyIdle: true },
    );
  },
});
