// banger vm cp, banger cp
import { copyOperand } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { copy } from "../../copy/copy.ts";

export default defineCommand<NonNullable<unknown>, [string, string]>({
  about: `Copies a file or a directory between this host and a running VM. One of the two is <vm>:<path>; a path in the VM that does
not begin with / is below /root. A host path with a colon in its name is written ./like:this.

As with cp -r and docker cp: when the destination is a directory that exists, the source is put into it; otherwise the copy
gets the destination's name. A source directory that ends with /. means its content. With - as source or destination a tar
goes in or comes out: stdin, stdout.

What comes from a VM cannot leave the destination: links are not followed, devices and setuid bits are left out.`,
  examples: [
    ["banger vm cp ./data sandbox:/root/data", "a directory into a VM"],
    ["banger vm cp sandbox:/root/repo/report.html .", "a file out of a VM"],
    ["banger vm cp sandbox:/etc - | tar -t", "a directory as a tar on stdout"],
    ["tar -c src | banger vm cp - sandbox:/root/src", "unpack a tar from stdin in a VM"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [
        copyOperand("source", "path, <vm>:<path> or -"),
        copyOperand("destination", "path, <vm>:<path> or -"),
      ],
    },
  },
  async run(context, _flags, source, destination) {
    await copy(context, source, destination);
  },
});
