// banger image cache size
import { formatBytes } from "../../../../lib/units.ts";
import { defineCommand } from "../../../command.ts";

export default defineCommand({
  about: `Says how much room the blobs of pulled images take on the disk, and where they lie. "image cache prune" frees it.`,
  examples: [["banger image cache size", "how much, and where"]],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { directory, blobs } = await client.call("image.cache.list", {});
    const bytes = blobs.reduce((sum, blob) => sum + blob.sizeBytes, 0);
    const { terminal } = context;
    if (terminal.json) return terminal.printJson({ directory, blobs: blobs.length, bytes });
    terminal.print(terminal.quiet ? `${bytes}` : `${formatBytes(bytes)} in ${blobs.length} blob(s) in ${directory}`);
  },
});
