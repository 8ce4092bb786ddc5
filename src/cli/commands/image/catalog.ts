// banger image catalog
import { defineCommand } from "../../command.ts";
import { printCatalog } from "../../record-lists.ts";

export default defineCommand({
  about: `Lists the images that "image pull" (and "vm run --image") can make. Those that are there already say "yes".`,
  examples: [["banger image catalog", "what can be pulled"]],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    printCatalog(context, (await client.call("image.catalog", {})).entries);
  },
});
