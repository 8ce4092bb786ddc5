// banger template list
import { formatAge, formatBytes } from "../../../lib/units.ts";
import { defineCommand } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

export default defineCommand({
  about: `Lists memory templates, last used first. There is one for each kernel, number of CPUs and size of memory that VMs were started
with, and one for each image that several VMs were made of (IMAGE), which new VMs of that image start from. SIZE is what a template takes on disk. With --quiet only the ids.`,
  examples: [
    ["banger template list", "what VMs can start from"],
    ["banger template list --json", "with all that is known of them, as a JSON array"],
  ],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { templates } = await client.call("template.list", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(templates);
    if (terminal.quiet) return templates.forEach((template) => terminal.print(template.id));
    if (templates.length === 0 && terminal.stdout.isTTY === true) {
      return terminal.notice("no template is there: the first VM of a shape boots, and its template follows", "dim");
    }
    const now = Date.now();
    terminal.print(
      formatTable(
        ["id", "image", "kernel", "vcpu", "mem", "vmm", "size", "created", "used"],
        templates.map((template) => [
          template.id.slice(0, 12),
          template.root?.image.name ?? "any",
          template.kernel.name,
          String(template.vcpus),
          `${template.memoryMib} MiB`,
          template.vmm,
          formatBytes(template.usedBytes),
          formatAge(template.createdAt, now),
          formatAge(template.lastUsedAt, now),
        ]),
      ),
    );
  },
});
