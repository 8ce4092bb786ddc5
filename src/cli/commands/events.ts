// banger events
import { optionalReference } from "../arguments.ts";
import { defineCommand } from "../command.ts";
import { printableLine } from "../output/sanitise.ts";

export default defineCommand<NonNullable<unknown>, [string?]>({
  about: `Prints every change of VMs as it happens, one line each, until Ctrl-C: made, started, stopped, renamed, deleted, and what became
broken and why. With a VM: only what happens to it, until it is deleted. With --json: one object on each line, the first of kind "subscribed", from which on
nothing is missed.`,
  examples: [
    ["banger events", "watch all VMs"],
    ["banger events web --json", "those of one VM, for a program"],
  ],
  parameters: { positional: optionalReference("vm") },
  async run(context, _flags, vm) {
    await using client = await context.connect();
    const { signal } = context.interrupts;
    const { terminal } = context;
    const params = vm === undefined ? {} : { vm };
    for await (const event of client.events("vm.events", params, { signal })) {
      if (terminal.json) terminal.printJsonLine(event);
      else if (event.vm !== null) {
        const { name, state, reason } = event.vm;
        const what = event.kind === "state" ? state : event.kind;
        const time = new Date(event.at).toISOString();
        terminal.print(printableLine(`${time}  ${name}  ${what}${reason === "" ? "" : `  ${reason}`}`));
      } else terminal.notice("watching; Ctrl-C ends it", "dim");
    }
  },
});
