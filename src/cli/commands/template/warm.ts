// banger template warm
import { referenceOption } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { operate } from "../../operate.ts";
import { type ShapeFlags, shapeFlags, shapeParams } from "../../vm-options.ts";

export default defineCommand<ShapeFlags>({
  about: `Makes the memory template for VMs with this kernel, number of CPUs and size of memory now, unless it is there: then also the
first such VM starts in an instant. Without options: that of a plain "vm run". Prints the template's id.

Not needed otherwise: templates are made in the background after the first boot.`,
  examples: [
    ["banger template warm", "for VMs with the default kernel and sizes"],
    ["banger template warm --vcpu 4 --memory 4G", "for larger ones"],
  ],
  parameters: {
    flags: { ...shapeFlags, kernel: referenceOption("kernel", "kernel to make it of; default: the default kernel") },
  },
  async run(context, flags) {
    await using client = await context.connect();
    const record = await operate(context, client, "template.warm", shapeParams(flags));
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : record.id.slice(0, 12));
  },
});
