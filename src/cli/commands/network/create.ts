// banger network create
import { defineCommand } from "../../command.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Makes a network that VMs can be in together. VMs that are made with --join NAME find each other as <name>.vm and reach all of each other's
ports; nobody else reaches them. Nothing happens when it is there already.`,
  examples: [
    ["banger network create dev", "make one"],
    ["banger vm create --name db --join dev", "then: a VM in it, which the others know as db.vm"],
  ],
  parameters: {
    positional: { kind: "tuple", parameters: [{ parse: String, placeholder: "name", brief: "name of the network" }] },
  },
  async run(context, _flags, name) {
    await using client = await context.connect();
    const made = await client.call("network.create", { name });
    if (context.terminal.json) return context.terminal.printJson(made);
    context.terminal.print(made.name);
    context.terminal.notice(`next: banger vm create --join ${made.name}`, "dim");
  },
});
