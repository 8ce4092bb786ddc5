// banger vm ssh
import { BangerError } from "../../../lib/errors.ts";
import { findTool } from "../../../lib/run.ts";
import { oneReference } from "../../arguments.ts";
import { defineCommand, option } from "../../command.ts";
import { sshArguments } from "../../ssh-command.ts";

export default defineCommand<{ readonly user?: string }, [string]>({
  about: `Opens an SSH session in a running VM with this host's ssh: a shell, or a command after --. Use it for what only ssh can do
(port forwarding, agent forwarding, -v); for plain commands "vm exec" is faster and needs no ssh.

Words between the VM and -- go to ssh as they are. One word after -- is a line for the VM's shell; several are a command and
its arguments. Your ~/.ssh/config is not read; the VM's host key is checked against the one that banger gave it.
Exits with the code of the command. With --json nothing is run: it prints what any SSH client needs, as {"vmId", "identityFile",
"knownHostsFile", "hostAlias"}; the ProxyCommand is: banger internal dial <vmId> ssh.`,
  examples: [
    ["banger vm ssh sandbox", "a shell"],
    ["banger vm ssh sandbox -L 8080:localhost:80 -N", "forward a port of the VM to this host"],
    ["banger vm ssh sandbox -- 'cd /root/repo && make'", "a line for the VM's shell"],
  ],
  rest: "first",
  operands: "<vm> [ssh option...] [-- <command> [argument...]]",
  parameters: { positional: oneReference("vm"), flags: { user: option("user to log in as; default: root", "name") } },
  async run(context, { user = "root" }, vm) {
    const ssh = findTool("ssh");
    if (ssh === undefined) {
      throw new BangerError("command.missing", '"ssh" is not installed', { hint: "sudo apt install openssh-client" });
    }
    await using client = await context.connect();
    const target = await client.call("vm.ssh", { vm });
    const rest = context.rest ?? [];
    const dashes = rest.indexOf("--");
    if (context.terminal.json || rest[0] === "--json") return context.terminal.printJson(target);
    const [words, command] = dashes < 0 ? [rest, undefined] : [rest.slice(0, dashes), rest.slice(dashes + 1)];
    context.replaceProcess(ssh, sshArguments({ target, self: context.self, user, words, command }));
  },
});
