// Applies an export to the repository that it came from: preview, check, question, and only then the work.
import { BangerError } from "../../lib/errors.ts";
import type { WorkspaceExport } from "../../api/workspace-export-methods.ts";
import type { Client } from "../../sdk/client.ts";
import type { CliContext } from "../context.ts";
import { operate } from "../operate.ts";
import { askLine } from "../prompt.ts";
import { noticeNotes, noticeSubmodules, statLines } from "./export-view.ts";

export interface ApplyFlags {
  branch: string | undefined;
  /** Stop after the check. */
  check: boolean;
  /** Do not ask. */
  yes: boolean;
}

/** Lines of the list of files that are shown before anything is asked. */
const maxPreview = 40;

/** Throws `workspace.conflict` when it does not fit; then nothing was changed. */
export async function applyExport(
  context: CliContext,
  client: Client,
  found: WorkspaceExport,
  { branch, check, yes }: ApplyFlags,
): Promise<void> {
  const { terminal, streams } = context;
  const params = { export: found.id, ...(branch === undefined ? {} : { branch }) };
  const run = (only: boolean) =>
    operate(context, client, "workspace.apply", { ...params, check: only }, { label: found.vm.name });
  if (found.fileCount === 0 && (branch === undefined || found.commits === 0)) {
    if (terminal.json) terminal.printJson({ ...found, applied: null });
    else terminal.notice(`${found.vm.name}: nothing changed since it was prepared`, "dim");
    return;
  }
  for (const line of statLines(found, maxPreview)) terminal.notice(line);
  noticeNotes(terminal, found);
  if (branch !== undefined) noticeSubmodules(terminal, found);
  const asked = !yes && !check && !terminal.json && streams.stdinIsTty;
  if (check || asked) {
    const checked = await run(true);
    if (check && terminal.json) return printChecked(context, { ...found, applied: checked });
    if (checked.conflicts.length > 0) throw conflictsError(found, checked.conflicts);
    const where = branch === undefined ? `to ${found.root}` : `as branch ${branch} of ${found.root}`;
    if (check) return terminal.notice(`can be applied ${where}; nothing was changed`, "green");
    const answer = await askLine(context, `Apply this ${where}? (y/N)`, { hidden: false });
    if (!/^y(?:es)?$/i.test(answer.trim())) return terminal.notice("nothing was applied");
  }
  const applied = await run(false);
  if (terminal.json) return terminal.printJson({ ...found, applied });
  if (branch === undefined) {
    const same = applied.unchanged === 0 ? "" : `; ${applied.unchanged} had the guest's content already`;
    terminal.notice(
      `${applied.changed} file${applied.changed === 1 ? "" : "s"} changed in ${found.root}, not committed${same}`,
      "green",
    );
    terminal.notice(`next: git -C ${found.root} diff`, "dim");
  } else {
    terminal.print(branch);
    terminal.notice(`next: git -C ${found.root} log -p ..${branch}, or git -C ${found.root} merge ${branch}`, "dim");
  }
}

type Conflicts = readonly { path: string; why: string }[];

function printChecked(
  { terminal }: CliContext,
  checked: WorkspaceExport & { applied: { conflicts: Conflicts } },
): void {
  terminal.printJson(checked);
  if (checked.applied.conflicts.length > 0) throw conflictsError(checked, checked.applied.conflicts);
}

function conflictsError({ vm, root }: WorkspaceExport, conflicts: Conflicts): BangerError {
  const first = conflicts.slice(0, 10).map(({ path, why }) => `"${path}": ${why}`);
  const more = conflicts.length > first.length ? `; and ${conflicts.length - first.length} more` : "";
  return new BangerError("workspace.conflict", `it does not fit to "${root}": ${first.join("; ")}${more}`, {
    hint: `banger vm workspace export ${vm.name} --apply --branch from-${vm.name}`,
    details: { conflicts },
  });
}
