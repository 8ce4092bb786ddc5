// banger vm workspace sync
import type { ResultOf } from "../../../../api/methods.ts";
import { oneReference } from "../../../arguments.ts";
import { defineCommand, flag } from "../../../command.ts";
import type { Terminal } from "../../../output/terminal.ts";

type Synced = ResultOf<"workspace.sync"> | ResultOf<"workspace.watch">;

export default defineCommand<{ readonly watch?: boolean; readonly force?: boolean }, [string]>({
  about: `Puts what changed on the host since the last "prepare" or "sync" into a VM's workspace: changed, new and deleted tracked files (with
untracked ones when it was prepared so), and nothing else.

A file that was changed in the guest, too, is not touched: it is told, and stays as the guest has it, until it is the same on both
sides again; --force takes the host's. Git's history does not move: after a commit on the host, "prepare" brings it.

--watch goes on until Ctrl-C and syncs whenever a file changes.`,
  examples: [
    ["banger vm workspace sync box", "once"],
    ["banger vm workspace sync box --watch", "after each save, until Ctrl-C"],
  ],
  parameters: {
    positional: oneReference("vm"),
    flags: {
      watch: flag("go on, and sync after each change, until Ctrl-C"),
      force: flag("take the host's content of files that the guest has changed, too"),
    },
  },
  async run(context, { watch = false, force = false }, vm) {
    await using client = await context.connect();
    const params = { vm, ...(force ? { force } : {}) };
    const { signal } = context.interrupts;
    if (!watch) {
      const synced = await client.call("workspace.sync", params, { signal });
      if (context.terminal.json) return context.terminal.printJson(synced);
      return show(context.terminal, vm, synced);
    }
    for await (const synced of client.events("workspace.watch", params, { signal })) show(context.terminal, vm, synced);
  },
});

function show(terminal: Terminal, vm: string, synced: Synced): void {
  if (terminal.json) return terminal.printJsonLine(synced);
  const { written, removed, conflicts, headMoved } = synced;
  if (!terminal.quiet) terminal.print(`${written} written, ${removed} removed`);
  for (const path of conflicts.paths) {
    terminal.notice(`changed on both sides, the guest keeps its own: ${path}`, "yellow");
  }
  if (conflicts.count > conflicts.paths.length) terminal.notice(`… ${conflicts.count} in all`, "yellow");
  if (headMoved) {
    terminal.notice(`the host is on another commit: "banger vm workspace prepare ${vm}" brings the history`, "yellow");
  }
}
