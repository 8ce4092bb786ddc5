// banger secret list
import { defineCommand } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

export default defineCommand({
  about: `Lists secrets by name. Values are never shown, with --json neither.`,
  examples: [["banger secret list", "which there are, for which hosts, and which VMs have them"]],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { secrets } = await client.call("secret.list", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(secrets);
    if (terminal.quiet) return secrets.forEach(({ name }) => terminal.print(name));
    terminal.print(
      formatTable(
        ["name", "hosts", "headers", "env", "source", "vms"],
        secrets.map(({ name, hosts, headers, env, command, usedBy }) => [
          name,
          hosts.join(","),
          headers.length === 0 ? "any" : headers.join(","),
          env ?? "",
          command === null ? "stored" : command.join(" "),
          usedBy.join(","),
        ]),
      ),
    );
  },
});
