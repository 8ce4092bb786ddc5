// banger vm create
import { defineCommand, flag } from "../../command.ts";
import { createVm } from "../../create-vm.ts";
import { type VmFlags, vmFlags, vmParams } from "../../vm-options.ts";

export default defineCommand<VmFlags & { readonly noStart?: boolean }>({
  about: `Makes a VM and starts it, without a session in it. Prints its name. The VM stays until "vm delete".

Use "vm run" instead when you want a shell or a command right away. Sizes that are left out come from config.toml or from
what this host has. Next: "vm exec <name> -- command", "vm ssh <name>", "vm cp".`,
  examples: [
    ["banger vm create --name box", "a VM with the default image and sizes"],
    ["banger vm create --name big --vcpu 4 --memory 8G --disk-size 40G", "a larger one"],
    ["banger vm create --name later --no-start", "made but not started; vm start does that"],
    [
      "banger vm create --name web --publish 8080:80",
      "port 8080 of this host leads to its port 80 (vm forward --help)",
    ],
    [
      "banger vm create --name agent --network locked --allow api.example.com:443",
      "one that reaches one host (net --help)",
    ],
    ["banger vm create --name db --warm-from database-up", "one that goes on from a snapshot"],
  ],
  parameters: {
    flags: { ...vmFlags, noStart: flag("make the VM but do not start it") },
    aliases: { p: "publish" },
  },
  async run(context, { noStart, ...flags }) {
    await using client = await context.connect();
    const record = await createVm(context, client, {
      ...vmParams(flags),
      ...(noStart === true ? { start: false } : {}),
    });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(record);
    terminal.print(record.name);
    if (record.state === "running") terminal.notice(`next: banger vm exec ${record.name} -- <command>`, "dim");
    else terminal.notice(`next: banger vm start ${record.name}`, "dim");
  },
});
