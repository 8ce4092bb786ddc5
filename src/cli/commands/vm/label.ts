// banger vm label
import { BangerError } from "../../../lib/errors.ts";
import { reference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { parseLabel } from "../../label.ts";
import { formatPairs } from "../../output/table.ts";

export default defineCommand<NonNullable<unknown>, [string, ...string[]]>({
  about: `Sets labels of a VM: words of your own that "vm list --filter label=..." finds it by. KEY=VALUE sets one, KEY- removes it.
Without any it prints the labels that there are.`,
  examples: [
    ["banger vm label web owner=me ticket=123", "set two"],
    ["banger vm label web ticket-", "remove one"],
    ["banger vm list --filter label=owner=me", "find it by them"],
  ],
  parameters: {
    positional: {
      kind: "array",
      parameter: { ...reference("vm"), brief: "a VM, then KEY=VALUE or KEY- as often as needed" },
      minimum: 1,
    },
  },
  async run(context, _flags, vm, ...changes) {
    const set = Object.fromEntries(changes.filter(isSet).map((change) => parseLabel(change)));
    const remove = changes.filter((change) => !isSet(change)).map(removal);
    await using client = await context.connect();
    const record =
      changes.length === 0 ? await client.call("vm.show", { vm }) : await client.call("vm.label", { vm, set, remove });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(record.labels);
    const pairs = Object.entries(record.labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
    if (pairs.length === 0) terminal.notice(`${record.name}: no labels`, "dim");
    else terminal.print(formatPairs(pairs));
  },
});

const isSet = (change: string) => change.includes("=");

function removal(text: string): string {
  if (text.endsWith("-") && text.length > 1) return text.slice(0, -1);
  throw new BangerError("usage", `"${text}" is neither KEY=VALUE nor KEY-`);
}
