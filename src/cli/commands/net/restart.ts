// banger net restart
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { networkWord } from "../../output/network-text.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Starts what carries the network of a running VM anew. Its open connections end, the VM itself goes on. That is done by itself when the
process dies; this is for when it died again and again, and "vm list" shows the network as failed.`,
  examples: [["banger net restart box", "give it its network back"]],
  parameters: { positional: oneReference("vm") },
  async run(context, _flags, vm) {
    await using client = await context.connect();
    const network = await client.call("net.restart", { vm });
    if (context.terminal.json) context.terminal.printJson(network);
    else context.terminal.print(networkWord(network));
  },
});
