// banger template warm
import { referenceOption } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { operate } from "../../operate.ts";
import { type SizeFlags, sizeFlags, sizeParams } from "../../vm-options.ts";

type Flags = Omit<SizeFlags, "init"> & { readonly image?: string };
const { init: _init, ...sizes } = sizeFlags;

export default defineCommand<Flags>({
  about: `Makes the memory template for VMs with this kernel, number of CPUs and size of memory now, unless it is there: then also the
first such VM starts in an instant. Without options: that of a plain "vm run". With --image also that of the image, for disks of these
sizes: a new VM finds its root mounted then, which saves about a third of its first start. Prints the template's id.

Not needed otherwise: templates are made in the background, that of a shape after its first boot, that of an image once two VMs of it
have started.`,
  examples: [
    ["banger template warm", "for VMs with the default kernel and sizes"],
    ["banger template warm --image debian-bookworm", "for new VMs of this image"],
    ["banger template warm --vcpu 4 --memory 4G", "for larger ones"],
  ],
  parameters: {
    flags: {
      image: referenceOption("image", "image that is here; default: what is made fits every image"),
      ...sizes,
      kernel: referenceOption("kernel", "kernel to make it of; default: the default kernel"),
    },
  },
  async run(context, flags) {
    await using client = await context.connect();
    const record = await operate(context, client, "template.warm", {
      ...(flags.image === undefined ? {} : { image: flags.image }),
      ...sizeParams(flags),
    });
    if (context.terminal.json) context.terminal.printJson(record);
    else context.terminal.print(context.terminal.quiet ? record.id : record.id.slice(0, 12));
  },
});
