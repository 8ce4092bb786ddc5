// banger registry logout
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string | undefined]>({
  about: `Forgets what "registry login" has kept for a registry. Logins of docker stay: "docker logout" removes those.
Without a host: Docker Hub.`,
  examples: [["banger registry logout ghcr.io", "forget the password for ghcr.io"]],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{ parse: String, placeholder: "host", brief: "registry, with a port if need be", optional: true }],
    },
  },
  async run(context, _flags, host = "docker.io") {
    await using client = await context.connect();
    const result = await client.call("registry.logout", { registry: host });
    if (context.terminal.json) context.terminal.printJson(result);
    else if (result.removed) context.terminal.print(result.registry);
    else context.terminal.notice(`nothing was kept for "${result.registry}"`);
  },
});
