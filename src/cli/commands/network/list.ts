// banger network list
import { defineCommand } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

export default defineCommand({
  about: `Lists networks that VMs can join, and who is in them. What one VM may reach outside of them is "net policy".`,
  examples: [["banger network list", "networks and their members"]],
  parameters: {},
  async run(context) {
    await using client = await context.connect();
    const { networks } = await client.call("network.list", {});
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(networks);
    if (terminal.quiet) return networks.forEach(({ name }) => terminal.print(name));
    terminal.print(
      formatTable(
        ["name", "members"],
        networks.map(({ name, members }) => [
          name,
          members.map(({ vm, address, up }) => `${vm} ${address}${up ? "" : " (down)"}`).join(", "),
        ]),
      ),
    );
  },
});
