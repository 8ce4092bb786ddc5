// banger secret delete
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Removes a secret that no VM has. What it was is gone from this host; where it came from it is as valid as before.`,
  examples: [["banger secret delete github", "forget it"]],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{ parse: String, placeholder: "name", brief: "name of the secret" }],
    },
  },
  async run(context, _flags, name) {
    await using client = await context.connect();
    await client.call("secret.delete", { name });
    if (context.terminal.json) context.terminal.printJson({ name });
    else context.terminal.print(name);
  },
});
