// banger vm workspace prepare
import { formatBytes } from "../../../../lib/units.ts";
import { guestDirectoryOption, pathOperand, reference } from "../../../arguments.ts";
import { defineCommand, flag } from "../../../command.ts";
import { operate } from "../../../operate.ts";
import { leftBehind, shipFlags, type ShipFlags, shipParams, showPlan } from "../../../workspace-flags.ts";

type Flags = ShipFlags & { readonly guestPath?: string; readonly force?: boolean };

export default defineCommand<Flags, [string, string?]>({
  about: `Puts the repository of a directory (default: this one) into a running VM, at /root/repo: its tracked files as they are now, with what
is not committed and without what was deleted, and a git repository with the recent history. "vm run <path>" does the same for a new VM.

Everything is made ready first and takes the place of what was there in one step: whatever is interrupted, the workspace is either
the old or the new one. Files that are not of the repository (built, installed, ignored in the VM) stay.

When the guest has changed files that were shipped, or made commits, nothing is done: export its work first, or lose it with --force.

Never shipped: ignored files, the host's hooks, its git configuration but for the name and address of the committer, and logins
in the address of the origin.`,
  examples: [
    ["banger vm workspace prepare box", "this directory's repository into the VM box"],
    ["banger vm workspace prepare box ./repo --dry-run", "what would go, and what would not"],
    ["banger vm workspace prepare box ./repo --branch try --from v1.2", "the files of v1.2, on a new branch"],
    ["banger vm workspace prepare box ./repo --include-untracked", "with files that git does not know yet"],
    ["banger vm workspace prepare box ./repo --mode full", "with all history, branches and tags"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [
        reference("vm"),
        { ...pathOperand("path", "directory in a git repository; default: ."), optional: true },
      ],
    },
    flags: {
      ...shipFlags,
      guestPath: guestDirectoryOption("guest-path", "where it is put in the VM; default: /root/repo"),
      force: flag("replace what was changed in the VM; its changes are lost"),
    },
  },
  async run(context, { guestPath, force, dryRun, ...flags }, vm, path = ".") {
    await using client = await context.connect();
    const wanted = shipParams(context, path, flags);
    if (dryRun === true) return await showPlan(context, client, wanted);
    const result = await operate(context, client, "workspace.prepare", {
      vm,
      ...wanted,
      ...(guestPath === undefined ? {} : { guestPath }),
      ...(force === true ? { force } : {}),
    });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(result);
    terminal.print(result.guestPath);
    terminal.notice(
      `${result.files} files of ${result.workspace.repoName}, ${formatBytes(result.sentBytes)} sent`,
      "dim",
    );
    const left = leftBehind(result);
    if (left !== undefined) terminal.notice(left, "yellow");
  },
});
