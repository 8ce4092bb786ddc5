// banger vm logs
import { oneReference } from "../../arguments.ts";
import { defineCommand, flag } from "../../command.ts";
import { copyText } from "../../output/copy-text.ts";

export default defineCommand<{ readonly follow?: boolean }, [string]>({
  about: `Prints what a VM's kernel and first process wrote to its console since it was started. It is kept when the VM stops, so
this is the place to look when a VM did not come up.

On a terminal, control characters that the guest wrote are shown as escapes. Through a pipe the bytes are as they are.
With --json: one object with the text; with --follow one on each line.`,
  examples: [
    ["banger vm logs sandbox", "the console so far"],
    ["banger vm logs --follow sandbox", "go on until the VM ends or Ctrl-C"],
  ],
  parameters: {
    positional: oneReference("vm"),
    flags: { follow: flag("go on with what comes, until the VM ends") },
    aliases: { f: "follow" },
  },
  async run(context, { follow }, vm) {
    await using client = await context.connect();
    const { signal } = context.interrupts;
    try {
      const log = await client.download("vm.logs", { vm, ...(follow === true ? { follow } : {}) }, { signal });
      await copyText(log, context.terminal, { follow: follow === true });
    } catch (error) {
      // Ctrl-C is how following ends: nothing to tell.
      if (follow !== true || !signal.aborted) throw error;
    }
  },
});
