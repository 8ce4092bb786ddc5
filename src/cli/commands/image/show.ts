// banger image show
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Prints the record of one image as JSON: its names, where it came from, its digests, its file, and what "vm run" uses of it:
entrypoint, command, environment, user, working directory. "image inspect" has the documents that it was made of.

Its file is there as "rootfsPath", and as "rootfs_path" for scripts that were written for banger's first version.`,
  examples: [["banger image show debian-bookworm", "everything about one image"]],
  parameters: { positional: oneReference("image") },
  async run(context, _flags, image) {
    await using client = await context.connect();
    const record = await client.call("image.show", { image });
    if (context.terminal.quiet) context.terminal.print(record.id);
    else context.terminal.printJson({ ...record, rootfs_path: record.rootfsPath });
  },
});
