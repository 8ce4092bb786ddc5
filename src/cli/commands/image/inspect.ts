// banger image inspect
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Prints the manifest and the config that an image was made of, as one JSON object with "manifest" and "config". Images that were
made of a file system have none. "image show" has what banger makes of them.`,
  examples: [["banger image inspect alpine:3.20 | jq .config.config", "the config of an image"]],
  parameters: { positional: oneReference("image") },
  async run(context, _flags, image) {
    await using client = await context.connect();
    const { manifest, config } = await client.call("image.inspect", { image });
    context.terminal.printJson({ manifest: JSON.parse(manifest) as unknown, config: JSON.parse(config) as unknown });
  },
});
