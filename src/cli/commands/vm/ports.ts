// banger vm ports
import type { ResultOf } from "../../../api/methods.ts";
import { oneReference } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { formatTable } from "../../output/table.ts";

type Ports = ResultOf<"vm.ports">["ports"];

export default defineCommand<{ readonly follow?: boolean }, [string]>({
  about: `Lists what listens in a running VM: address, port, process, and whether it speaks HTTP. What listens on the VM's loopback only is
reached as well: "vm forward" makes any of them a port of this host, without a network; what speaks HTTP has a URL then. With --follow the list
is printed again whenever it has changed, until Ctrl-C, and when a server has answered that it speaks HTTP; with --json one array on each
line then.`,
  examples: [
    ["banger vm ports sandbox", "what listens in it"],
    ["banger vm ports sandbox --follow", "and what comes and goes"],
  ],
  parameters: {
    positional: oneReference("vm"),
    flags: { follow: flag("print the list again whenever it changes") },
    aliases: { f: "follow" },
  },
  async run(context, { follow = false }, vm) {
    await using client = await context.connect();
    const { terminal, interrupts } = context;
    for await (const { ports } of client.events("vm.ports", { vm, follow }, { signal: interrupts.signal })) {
      if (terminal.json) {
        if (follow) terminal.printJsonLine(ports);
        else terminal.printJson(ports);
        continue;
      }
      terminal.print(tableOf(ports));
      const hidden = ports.find(({ http, url }) => http && url === null);
      if (hidden !== undefined && !follow) terminal.notice(`next: banger vm forward ${vm} ${hidden.port}`, "dim");
    }
  },
});

function tableOf(ports: Ports): string {
  return formatTable(
    ["proto", "address", "port", "http", "pid", "process", "command"],
    ports.map((port) => [
      port.protocol,
      port.address,
      String(port.port),
      port.url ?? (port.http ? "yes" : ""),
      port.pid === 0 ? "" : String(port.pid),
      port.process,
      port.command,
    ]),
  );
}
