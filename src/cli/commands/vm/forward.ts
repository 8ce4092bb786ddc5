// banger vm forward
import type { ResultOf } from "../../../api/methods.ts";
import { BangerError } from "../../../lib/errors.ts";
import { reference } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { parseForward, warnOfOthers } from "../../forward-spec.ts";
import { formatTable } from "../../output/table.ts";

type Forwards = ResultOf<"vm.forwards">["forwards"];
type Flags = { readonly list?: boolean; readonly remove?: boolean };

export default defineCommand<Flags, [string, ...string[]]>({
  about: `Makes ports and unix sockets of this host lead into a running VM. Connections go through the daemon and the VM's agent: the VM needs no
network, and what listens on its loopback only is reached, too.

  8080:80                127.0.0.1:8080, and port 80 of the VM's own address, lead to port 80 in the VM
  80                     the same, with a free port of 127.0.0.1
  0.0.0.0:8080:80        port 8080 for other machines as well; anybody who reaches it is let in
  8080:/run/app.sock     a port leads to a unix socket in the VM
  ./app.sock:80          a unix socket of this host, that only you can open, leads to a port; both sides may be sockets

Without any, or with --list, it prints what there is. The VM's own address is what <name>.vm means ("dns --help"): port 80 of it needs
root, unless the host's net.ipv4.ip_unprivileged_port_start is 80 or less; other ports of it do not.

What is made here stays until the VM stops, also when the daemon is started anew, and while the VM is paused. What is made with --publish
("vm create", "vm run") comes back at each start. Forks and copies have none. --remove ends open connections, too.`,
  examples: [
    ["banger vm forward web 8080:80", "then: curl http://127.0.0.1:8080/"],
    ["banger vm forward db /tmp/pg.sock:/run/postgresql/.s.PGSQL.5432", "socket to socket"],
    ["banger vm forward web", "what listens, whether it works, open connections"],
    ["banger vm forward web --remove 8080", "let the port go"],
  ],
  operands: "<vm> [[[address:]port:]port...]",
  parameters: {
    positional: {
      kind: "array",
      parameter: { ...reference("vm"), brief: "a VM, then [[address:]port:]port as often as needed" },
      minimum: 1,
    },
    flags: {
      list: flag("print what listens for the VM"),
      remove: flag("remove those named: by what they listen on, or its port"),
    },
  },
  async run(context, { list = false, remove = false }, vm, ...texts) {
    if (remove && texts.length === 0) throw new BangerError("usage", "--remove needs to know which: for example 8080");
    if (list && (remove || texts.length > 0)) throw new BangerError("usage", "--list takes a VM and nothing else");
    const add = remove ? [] : texts.map(parseForward);
    await using client = await context.connect();
    const call = () => {
      if (remove) return client.call("vm.unforward", { vm, remove: texts });
      return add.length > 0 ? client.call("vm.forward", { vm, add }) : client.call("vm.forwards", { vm });
    };
    const { forwards } = await call();
    const { terminal } = context;
    const hosts = new Set(add.flatMap(({ listen }) => (listen === undefined ? [] : [hostOf(listen)])));
    warnOfOthers(
      terminal,
      forwards.filter(({ listen }) => hosts.has(hostOf(listen))),
    );
    if (terminal.json) return terminal.printJson(forwards);
    if (forwards.length > 0) terminal.print(tableOf(forwards));
    else terminal.notice(`nothing leads into ${vm}; next: banger vm forward ${vm} 8080:80`, "dim");
  },
});

/** What stands before the port. */
const hostOf = (listen: string) => listen.slice(0, Math.max(0, listen.lastIndexOf(":")));

function tableOf(forwards: Forwards): string {
  return formatTable(
    ["listen", "target", "until", "connections", "state"],
    forwards.map(({ listen, target, published, listening, problem, connections }) => [
      listen,
      target,
      published ? "deleted" : "stopped",
      String(connections),
      listening ? "listens" : problem || "when the VM runs",
    ]),
  );
}
