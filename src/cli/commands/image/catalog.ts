// banger image catalog
import { defineCommand } from "../../command.ts";
import { printImageCatalog } from "../../record-lists.ts";

export default defineCommand({
  about: `Lists the images that "image pull" and "vm run --image" know by a short name. Some are built here, of the distribution's packages.
The others come from a registry, and always as the content that DIGEST names: it was looked at, and a tag that moves changes nothing.
What a tag is today you get by its reference: banger image pull debian:13. Of images of your own, docs/images.md says how to add them.`,
  examples: [
    ["banger image catalog", "what can be pulled"],
    ["banger vm run --image alpine-3.24", "a VM of one of them"],
  ],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    printImageCatalog(context, (await client.call("image.catalog", {})).entries);
  },
});
