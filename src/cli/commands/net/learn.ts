// banger net learn
import type { NetworkRecord } from "../../../api/network-records.ts";
import { BangerError } from "../../../lib/errors.ts";
import type { Client } from "../../../sdk/client.ts";
import { oneReference } from "../../arguments.ts";
import { defineCommand, option } from "../../command.ts";
import { isRuleOfUse, ruleOfUse } from "../../learned-rules.ts";
import { runSession } from "../../session/session.ts";

type Flags = { readonly as?: string };

export default defineCommand<Flags, [string]>({
  about: `Runs a command in a running VM while its network is open wider, watches what it uses, and prints the rules that allow exactly that:
run what you trust once, and keep it to that from then on. Meanwhile the VM has the policy "balanced" (--as for another one), its own
afterwards, also after Ctrl-C. Exits with the command's exit code.

The output of the command is passed on as it is; the rules come at the end on stderr, as a command to paste, and with --json as one object:
{"allow": [...], "hostPorts": [...]}. What the command did not need this time is not in them.`,
  examples: [
    ["banger net learn box -- npm ci", "what does an installation need?"],
    ["banger net learn box --as open -- make test", "hosts of private networks, too"],
  ],
  rest: "command",
  operands: "<vm> [--as mode|policy] -- <command> [argument...]",
  parameters: {
    positional: oneReference("vm"),
    flags: {
      as: option("what it may reach meanwhile: a mode or a policy of config.toml; default: balanced", "mode|policy"),
    },
  },
  async run(context, { as: meanwhile = "balanced" }, vm) {
    const argv = context.rest ?? [];
    if (argv.length === 0) {
      throw new BangerError("usage", "say what to run", { hint: `banger net learn ${vm} -- npm ci` });
    }
    await using client = await context.connect();
    const { name, network } = await client.call("vm.show", { vm });
    const { mode, allow, deny, hostPorts } = network;
    // Rules that it has hold on: what they deny is not learned, and ports of the host are not opened by anybody else.
    const rules = mode === "none" ? {} : { allow, deny, hostPorts };
    await client.call("net.set", { vm, change: { use: meanwhile, ...rules } });
    const used: NetworkRecord[] = [];
    try {
      await using _watch = await watch(client, vm, used);
      context.exitCode = await runSession(context, client, { vm, argv });
    } finally {
      const before = { use: mode, ...(network.name === null ? {} : { name: network.name }), ...rules };
      await client.call("net.set", { vm, change: before });
    }
    const learned = [...new Set(used.filter(isRuleOfUse).map(ruleOfUse))].toSorted();
    const ports = learned.flatMap((rule) =>
      rule.startsWith("host.vm:") ? [Number(rule.slice("host.vm:".length))] : [],
    );
    const hosts = learned.filter((rule) => !rule.startsWith("host.vm:"));
    const { terminal } = context;
    if (terminal.json) return terminal.printJson({ allow: hosts, hostPorts: ports });
    if (learned.length === 0) return terminal.notice("it used no network", "dim");
    const options = [...hosts.map((rule) => `--allow ${rule}`), ...ports.map((port) => `--allow-host ${port}`)];
    terminal.notice(`to allow exactly what it used: banger net policy ${name} --set locked ${options.join(" ")}`);
  },
});

/** Collects what happens from now on until it is disposed of, which waits until what happened before is there. */
async function watch(client: Client, vm: string, used: NetworkRecord[]): Promise<AsyncDisposable> {
  let after = 0;
  for await (const { sequence } of client.events("net.log", { vm })) after = Math.max(after, sequence);
  return {
    async [Symbol.asyncDispose]() {
      for await (const record of client.events("net.log", { vm, after })) used.push(record);
    },
  };
}
