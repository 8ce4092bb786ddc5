// banger net policy
import type { ResultOf } from "../../../api/methods.ts";
import { BangerError } from "../../../lib/errors.ts";
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { networkFlag, type RuleFlags, ruleFlags, ruleParams } from "../../network-options.ts";
import { policyLines } from "../../output/network-text.ts";

type Flags = RuleFlags & { readonly set?: string; readonly remove?: readonly string[] };

export default defineCommand<Flags, [string]>({
  about: `Prints what a VM may reach, or changes it: at once when the VM runs, and for all its later starts. Connections that are open and not
allowed any more are cut.

  --set          a mode or a policy of config.toml, in the place of all that holds now
  --allow, --deny, --allow-host   rules, added to what holds; after --set: to that
  --remove       takes rules away, as they are printed here; host.vm:PORT for a port of this host

A rule is HOST[:PORT]: a name, *.name for all below it (not itself), an address, or a range such as 10.0.0.0/8. PORT may be a range
(8000-8999) and end in /udp. A rule for a name never lets the VM into private networks, whatever the name's owner says;
git.corp.example:443+private does. What is denied wins over what is allowed; the order means nothing.`,
  examples: [
    ["banger net policy box", "what holds"],
    ["banger net policy box --set locked --allow api.example.com:443", "that and nothing else"],
    ["banger net policy box --allow packages.example.com:80", "one more"],
    ["banger net policy box --remove packages.example.com:80", "and away with it"],
    ["banger net policy box --set none", "no network any more"],
  ],
  parameters: {
    positional: oneReference("vm"),
    flags: {
      set: networkFlag,
      ...ruleFlags,
      remove: {
        kind: "parsed",
        parse: String,
        optional: true,
        variadic: true,
        placeholder: "RULE",
        brief: "take a rule away, as it is printed (repeatable)",
      },
    },
  },
  async run(context, { set, remove, ...rules }, vm) {
    const change = {
      ...(set === undefined ? {} : { use: set }),
      ...ruleParams(rules),
      ...(remove === undefined ? {} : { remove: [...remove] }),
    };
    if (set !== undefined && remove !== undefined) {
      throw new BangerError("usage", "--set and --remove exclude each other: --set replaces every rule");
    }
    await using client = await context.connect();
    const { terminal } = context;
    if (Object.keys(change).length === 0) return show(await client.call("net.policy", { vm }));
    const changed = await client.call("net.set", { vm, change });
    const { cut } = changed;
    if (cut > 0) terminal.notice(`${cut} open connection${cut === 1 ? " was" : "s were"} cut`, "yellow");
    show(changed.network);

    function show(network: ResultOf<"net.policy">): void {
      if (terminal.json) return terminal.printJson(network);
      terminal.print(policyLines(network).join("\n"));
      if (network.state !== "failed") return;
      terminal.notice(`the network is gone: ${network.reason}`, "yellow");
      terminal.notice(`next: banger net restart ${vm}`, "dim");
    }
  },
});
