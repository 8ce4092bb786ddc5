// banger image delete, banger image rm
import { manyReferences } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { forTargets } from "../../targets.ts";

export default defineCommand<NonNullable<unknown>, string[]>({
  about: `Removes images. Refused while a VM uses the image: delete the VM first. With --json: an array of the
removed records.`,
  examples: [["banger image delete old", "remove one image"]],
  parameters: { positional: manyReferences("image") },
  async run(context, _flags, ...images) {
    await using client = await context.connect();
    await forTargets(context, images, {
      find: (image) => client.call("image.show", { image }),
      act: async (record) => {
        await client.call("image.delete", { image: record.id });
        return record;
      },
    });
  },
});
