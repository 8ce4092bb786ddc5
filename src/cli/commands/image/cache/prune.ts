// banger image cache prune
import { formatBytes } from "../../../../lib/units.ts";
import { defineCommand, flag } from "../../../command.ts";

export default defineCommand<{ readonly dryRun?: boolean }>({
  about: `Removes the blobs of pulled images, but for those that a running pull reads. Images stay; only a later pull of something that shares
layers with them has to fetch more.`,
  examples: [
    ["banger image cache prune --dry-run", "what that would free"],
    ["banger image cache prune", "free it"],
  ],
  parameters: { flags: { dryRun: flag("only say what would be freed") } },
  async run(context, { dryRun = false }) {
    await using client = await context.connect();
    const result = await client.call("image.cache.prune", { dryRun });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson({ ...result, dryRun });
    const verb = dryRun ? "would free" : "freed";
    terminal.print(
      terminal.quiet
        ? `${result.bytes}`
        : `${verb} ${formatBytes(result.bytes)} across ${result.blobs} blob(s) in ${result.directory}`,
    );
  },
});
