// banger image history
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Lists the steps in which an image was built, as its config tells them, the first step first. Empty for an image that was made of
a file system.`,
  examples: [["banger image history alpine:3.20", "how it was made"]],
  parameters: { positional: oneReference("image") },
  async run(context, _flags, image) {
    await using client = await context.connect();
    const { history } = await client.call("image.history", { image });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(history);
    const rows = history.map((step) => [
      step.created.slice(0, 19).replace("T", " "),
      step.emptyLayer ? "no" : "yes",
      step.createdBy === "" ? step.comment : step.createdBy,
    ]);
    terminal.print(formatTable(["created", "layer", "made by"], rows));
  },
});
