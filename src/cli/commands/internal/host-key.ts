// banger internal host-key: what ssh runs as its KnownHostsCommand
import { readFile } from "node:fs/promises";
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { withoutDomain } from "../../vm-domain.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: "Prints the host key of a VM, as banger gave it, in the form of a known_hosts file.",
  examples: [["ssh -o 'KnownHostsCommand banger internal host-key %n' root@sandbox.vm", "what banger ssh-config says"]],
  parameters: { positional: oneReference("vm") },
  async run(context, _flags, host) {
    await using client = await context.connect();
    const { knownHostsFile } = await client.call("vm.ssh", { vm: withoutDomain(host) });
    const [, ...key] = (await readFile(knownHostsFile, "utf8")).trim().split(" ");
    context.terminal.print(`${host} ${key.join(" ")}`);
  },
});
