// banger network delete
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Removes a network that no VM is in. Where there is one still, the error names it: a VM is in its network for its life.`,
  examples: [["banger network delete dev", "remove it"]],
  parameters: {
    positional: { kind: "tuple", parameters: [{ parse: String, placeholder: "name", brief: "name of the network" }] },
  },
  async run(context, _flags, name) {
    await using client = await context.connect();
    await client.call("network.delete", { name });
    if (context.terminal.json) context.terminal.printJson({ name });
    else context.terminal.print(name);
  },
});
