// banger operation watch
import { oneReference } from "../../arguments.ts";
import { defineCommand } from "../../command.ts";
import { ProgressView } from "../../output/progress.ts";

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Shows an operation's progress until it ends. Exits with 1 and the operation's error when it failed. Ctrl-C ends the watching,
not the operation ("operation cancel" does that). With --json: the finished record.`,
  examples: [["banger operation watch op-3f9a1c2b", "follow one to its end"]],
  parameters: { positional: oneReference("operation") },
  async run(context, _flags, id) {
    await using client = await context.connect();
    using view = new ProgressView(context.terminal);
    const { signal } = context.interrupts;
    const operation = await client.call("operation.show", { id }, { signal });
    await client.follow(operation, { signal, detach: true, onUpdate: (state) => view.update(state) });
    view[Symbol.dispose]();
    if (context.terminal.json) context.terminal.printJson(await client.call("operation.show", { id }));
    else context.terminal.notice(`${id}: done`);
  },
});
