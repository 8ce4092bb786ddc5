// banger image cache list
import { formatBytes } from "../../../../lib/units.ts";
import { defineCommand } from "../../../command.ts";
import { formatTable } from "../../../output/table.ts";

export default defineCommand({
  about: `Lists the blobs (layers of pulled images) that are kept so that later pulls need not fetch them again, the largest first. "partial" is
a download that was interrupted: the next pull goes on with it.`,
  examples: [["banger image cache list", "what is kept"]],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { blobs } = await client.call("image.cache.list", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(blobs);
    if (terminal.quiet) return blobs.forEach((blob) => terminal.print(blob.digest));
    const state = (blob: (typeof blobs)[number]) => (blob.inUse ? "in use" : blob.complete ? "" : "partial");
    const rows = blobs.map((blob) => [blob.digest, formatBytes(blob.sizeBytes), state(blob)]);
    terminal.print(formatTable(["digest", "size", "state"], rows));
  },
});
