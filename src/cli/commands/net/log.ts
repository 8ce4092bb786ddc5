// banger net log
import { oneReference } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { recordLine } from "../../output/network-text.ts";

type Flags = { readonly follow?: boolean; readonly denied?: boolean };

export default defineCommand<Flags, [string]>({
  about: `Prints what a running VM did on its network: each name that it looked up, each connection with the rule that allowed it and the bytes
that went, and each that was denied, with the command that would allow it. Oldest first; a few thousand lines are kept as long as the
VM runs. A denied connection is refused at once, so what fails in the VM stands here at the same moment.

With --json: one object on each line.`,
  examples: [
    ["banger net log box", "what it did"],
    ["banger net log box --denied", "what it was not allowed to, and what to add"],
    ["banger net log box -f", "watch it, until Ctrl-C"],
    [
      "banger net log box -f --json | jq -r 'select(.event == \"denied\") | .verdict.suggestion'",
      "rules that it wants",
    ],
  ],
  parameters: {
    positional: oneReference("vm"),
    flags: {
      follow: flag("go on with what comes, until Ctrl-C or the VM's end"),
      denied: flag("only what was denied"),
    },
    aliases: { f: "follow" },
  },
  async run(context, { follow = false, denied = false }, vm) {
    await using client = await context.connect();
    const { terminal, interrupts } = context;
    const { name } = await client.call("vm.show", { vm });
    for await (const record of client.events("net.log", { vm, follow }, { signal: interrupts.signal })) {
      if (denied && record.event !== "denied") continue;
      terminal.print(terminal.json ? JSON.stringify(record) : recordLine(record, name));
    }
  },
});
