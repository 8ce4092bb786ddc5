// banger image list
import { formatAge, formatBytes } from "../../../lib/units.ts";
import { defineCommand } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

export default defineCommand({
  about: `Lists the images on this machine, a line for each name. SIZE is what an image takes on disk, once for all its names. Next: "image catalog"
shows what can be pulled.`,
  examples: [
    ["banger image list", "images on this machine"],
    ["banger image list --json", "all that is known of them, as a JSON array"],
  ],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { images } = await client.call("image.list", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(images);
    if (terminal.quiet) return images.forEach((image) => terminal.print(image.id));
    const now = Date.now();
    terminal.print(
      formatTable(
        ["id", "name", "source", "arch", "size", "created"],
        images.flatMap((image) =>
          [image.name, ...image.tags].map((name) => [
            image.id.slice(0, 12),
            name,
            image.source,
            image.architecture,
            formatBytes(image.usedBytes),
            formatAge(image.createdAt, now),
          ]),
        ),
      ),
    );
  },
});
