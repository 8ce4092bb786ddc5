// banger kernel catalog
import { defineCommand } from "../../command.ts";
import { printKernelCatalog } from "../../record-lists.ts";

export default defineCommand({
  about: `Lists the kernels that "kernel pull" (and "vm run --kernel") can fetch. Those that are there already say "yes".`,
  examples: [["banger kernel catalog", "what can be pulled"]],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    printKernelCatalog(context, (await client.call("kernel.catalog", {})).entries);
  },
});
