// banger vm workspace diff
import { reference } from "../../../arguments.ts";
import { defineCommand, flag, option } from "../../../command.ts";
import { BangerError } from "../../../../lib/errors.ts";
import { printDiff } from "../../../workspaces/diff-text.ts";
import { fetchExport, noticeNotes, statLines } from "../../../workspaces/export-view.ts";

type Flags = { readonly stat?: boolean; readonly baseCommit?: string };

export default defineCommand<Flags, [string, string?]>({
  about: `Shows what was changed in a VM's workspace since it was prepared, committed or not; with two VMs what is different in the
second one: the results of two forks, say.

On a terminal the diff has colours, and control characters in it are shown as escapes. Through a pipe it is byte for byte as git has
it; for a patch that git applies, binary files included, use "vm workspace export". With --json: {"files", "commits", "text", ...}.`,
  examples: [
    ["banger vm workspace diff sandbox", "what was changed in it"],
    ["banger vm workspace diff try-1 try-2", "from what try-1 has to what try-2 has"],
    ["banger vm workspace diff sandbox --stat", "only which files, and by how much"],
    ["banger vm workspace diff sandbox --base-commit HEAD", "only what was not committed there"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [
        reference("vm"),
        {
          ...reference("vm"),
          placeholder: "other",
          brief: "a second VM: show how it differs from the first",
          optional: true,
        },
      ],
    },
    flags: {
      stat: flag("print a list of files instead"),
      baseCommit: option("compare with this commit of the guest; default: what was shipped", "commit"),
    },
  },
  async run(context, { stat = false, baseCommit }, first, second) {
    if (second !== undefined && baseCommit !== undefined) {
      throw new BangerError("usage", "--base-commit is for one VM: two are compared with each other");
    }
    const { terminal } = context;
    await using client = await context.connect();
    await using found = await fetchExport(
      context,
      client,
      second === undefined
        ? { vm: first, ...(baseCommit === undefined ? {} : { baseCommit }) }
        : { vm: second, against: first },
    );
    noticeNotes(terminal, found);
    if (found.fileCount === 0 && !terminal.json) {
      terminal.notice(
        second === undefined
          ? `${found.vm.name}: nothing changed since it was prepared`
          : `${first} and ${second} have the same files`,
        "dim",
      );
      return;
    }
    if (stat) {
      if (terminal.json) return terminal.printJson(found);
      return terminal.print(statLines(found).join("\n"));
    }
    const { signal } = context.interrupts;
    const diff = await client.download("workspace.read", { export: found.id, format: "diff" }, { signal });
    if (!terminal.json) return await printDiff(diff, terminal);
    const { text } = await import("node:stream/consumers");
    terminal.printJson({ ...found, text: await text(diff) });
  },
});
