// banger vm workspace export
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { BangerError } from "../../../../lib/errors.ts";
import { reference, sizeOption } from "../../../arguments.ts";
import { defineCommand, flag, option } from "../../../command.ts";
import type { CliContext } from "../../../context.ts";
import { printDiff } from "../../../workspaces/diff-text.ts";
import { applyExport } from "../../../workspaces/apply.ts";
import { fetchExport, noticeNotes, noticeSubmodules, statLines } from "../../../workspaces/export-view.ts";

type Flags = {
  readonly output?: string;
  readonly format?: string;
  readonly baseCommit?: string;
  readonly apply?: boolean;
  readonly branch?: string;
  readonly check?: boolean;
  readonly yes?: boolean;
  readonly maxSize?: number;
};

const formats = ["patch", "bundle", "branch"] as const;

export default defineCommand<Flags, [string]>({
  about: `Brings out what was changed in a VM's workspace since it was prepared: edits, new and deleted files, renames, modes, binary files,
and all that was committed in the guest. Ignored files stay there. Nothing in the guest is touched: not its index, not its files.

  patch    a patch for "git apply", on stdout or in the file of --output (default)
  bundle   a git bundle with the commits made in the guest and one for what was not committed; fetch it like a repository
  branch   a new branch in the repository on this host (the same as --apply --branch)

--apply changes the files of the repository that the workspace came from, as changes that are not committed, after it has shown them
and, on a terminal, asked. What you changed meanwhile is merged; when anything does not fit, nothing is changed. With --branch NAME the
commits become a branch instead: your files stay as they are. --check only says what would happen.

What comes from a VM is checked before git sees it: names that leave the repository, git's own directory, nested repositories and
more than "workspace.max_export" in config.toml are refused. No hook, filter or other command of this host is run for it.`,
  examples: [
    ["banger vm workspace export sandbox --apply", "into the repository that it came from, after a look"],
    ["banger vm workspace export sandbox -o sandbox.patch", "a patch; later: git apply sandbox.patch"],
    ["banger vm workspace export sandbox --apply --branch try-1", "its commits as a branch of the host's repository"],
    ["banger vm workspace export sandbox --apply --check", "does it fit, and what would change"],
    ["banger vm workspace export sandbox --base-commit HEAD", "only what the guest did not commit"],
    [
      "banger vm workspace export sandbox --format bundle --branch work -o work.bundle",
      "commits in a file: git fetch work.bundle work:work",
    ],
  ],
  parameters: {
    positional: { kind: "tuple", parameters: [reference("vm")] },
    flags: {
      output: option("file for the patch or bundle, replaced whole when it is there; default: stdout", "file"),
      format: option("patch (default), bundle or branch", "format"),
      baseCommit: option("compare with this commit of the guest; default: what was shipped", "commit"),
      apply: flag("change the repository on this host"),
      branch: option("make a branch of this name on this host, or in the bundle", "name"),
      check: flag("with --apply: only say whether it fits and what would change"),
      yes: flag("with --apply: do not ask"),
      maxSize: sizeOption("max-size", "most that is taken of the guest; default: workspace.max_export of config.toml"),
    },
    aliases: { o: "output", y: "yes" },
  },
  async run(context, flags, vm) {
    const { terminal } = context;
    const { output, baseCommit, branch, check = false, yes = false, maxSize } = flags;
    const format = formats.find((one) => one === (flags.format ?? "patch"));
    if (format === undefined) {
      throw new BangerError("usage", `--format "${flags.format}" is not one of ${formats.join(", ")}`);
    }
    const apply = flags.apply === true || format === "branch";
    checkFlags({ ...flags, apply });
    await using client = await context.connect();
    await using found = await fetchExport(context, client, {
      vm,
      ...(baseCommit === undefined ? {} : { baseCommit }),
      ...(maxSize === undefined ? {} : { maxBytes: maxSize }),
    });
    if (apply) {
      const name = branch ?? (format === "branch" ? `banger/${found.vm.name}` : undefined);
      return await applyExport(context, client, found, { branch: name, check, yes });
    }
    if (found.fileCount === 0 && (format === "patch" || found.commits === 0)) {
      terminal.notice(`${found.vm.name}: nothing changed since it was prepared`, "dim");
    }
    if (output === undefined && terminal.json) return terminal.printJson(found);
    if (format === "bundle") noticeSubmodules(terminal, found);
    if (format === "bundle" && output === undefined && terminal.stdout.isTTY === true) {
      throw new BangerError("usage", "a bundle is not for a terminal", {
        hint: `banger vm workspace export ${vm} --format bundle --output ${found.vm.name}.bundle`,
      });
    }
    const read = () =>
      client.download(
        "workspace.read",
        {
          export: found.id,
          format: format === "bundle" ? "bundle" : "patch",
          ...(branch === undefined ? {} : { branch }),
        },
        { signal: context.interrupts.signal },
      );
    if (output === undefined) {
      noticeNotes(terminal, found);
      if (terminal.stdout.isTTY === true) return await printDiff(await read(), terminal);
      return await pipeline(await read(), context.streams.stdout, { end: false });
    }
    await writeWhole(context, vm, output, await read());
    if (terminal.json) return terminal.printJson({ ...found, output: resolve(context.cwd, output) });
    for (const line of statLines(found)) terminal.notice(line);
    noticeNotes(terminal, found);
    const { name } = found.vm;
    const inBundle = branch ?? found.branch ?? `banger/${name}`;
    const next =
      format === "bundle" ? `git fetch ${basename(output)} ${inBundle}:from-${name}` : `git apply ${basename(output)}`;
    terminal.notice(`next: ${next}`, "dim");
  },
});

function checkFlags({ apply, check, yes, output, branch, format }: Flags): void {
  const only = (given: unknown, name: string) => {
    if (given === true && apply !== true) throw new BangerError("usage", `${name} is for --apply`);
  };
  only(check, "--check");
  only(yes, "--yes");
  if (apply === true && output !== undefined) {
    throw new BangerError("usage", "--apply and --output exclude each other: apply the patch, or write it to a file");
  }
  if (apply === true && format === "bundle") throw new BangerError("usage", "a bundle cannot be applied: fetch it");
  if (branch !== undefined && apply !== true && format !== "bundle") {
    throw new BangerError("usage", "--branch is for --apply and --format bundle");
  }
}

/** Readers of the file see the old content or the new. */
async function writeWhole(
  context: CliContext,
  vm: string,
  output: string,
  content: NodeJS.ReadableStream,
): Promise<void> {
  const file = resolve(context.cwd, output);
  const staging = `${file}.${process.pid}.tmp`;
  try {
    await pipeline(content, createWriteStream(staging, { flags: "wx" }));
    await rename(staging, file);
  } catch (error) {
    await rm(staging, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "EACCES" && code !== "EISDIR" && code !== "EROFS") throw error;
    if (code === "ENOENT") {
      throw new BangerError("file.failed", `"${file}" cannot be written: there is no directory "${dirname(file)}"`, {
        hint: `mkdir -p ${dirname(file)}`,
      });
    }
    const why =
      code === "EISDIR" ? "it is a directory" : code === "EROFS" ? "a read-only file system" : "not permitted";
    throw new BangerError("file.failed", `"${file}" cannot be written: ${why}`, {
      cause: error,
      hint: `banger vm workspace export ${vm} -o ${basename(file)}  # in a directory of yours`,
    });
  }
}
