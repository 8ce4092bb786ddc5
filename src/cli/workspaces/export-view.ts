// An export on its way to the user: fetched, shown as a list of files, and let go of when the command ends.
import type { ParamsOf } from "../../api/methods.ts";
import type { ExportedFile, WorkspaceExport } from "../../api/workspace-export-methods.ts";
import type { Client } from "../../sdk/client.ts";
import type { CliContext } from "../context.ts";
import { operate } from "../operate.ts";
import { printableLine } from "../output/sanitise.ts";
import type { Terminal } from "../output/terminal.ts";

/** Fetches it; dispose lets the daemon forget it. */
export async function fetchExport(
  context: CliContext,
  client: Client,
  params: ParamsOf<"workspace.export">,
): Promise<WorkspaceExport & AsyncDisposable> {
  const found = await operate(context, client, "workspace.export", params, { label: params.vm });
  return {
    ...found,
    async [Symbol.asyncDispose]() {
      // It goes by itself after some minutes, and a daemon that is gone has none.
      await client.call("workspace.forget", { export: found.id }).catch(() => {});
    },
  };
}

const letters: Record<ExportedFile["kind"], string> = {
  added: "A",
  changed: "M",
  deleted: "D",
  renamed: "R",
  mode: "M",
  type: "T",
};

/** One line for each file, at most so many, as `git status` and `git diff --stat` have them, and one of all together. */
export function statLines(found: WorkspaceExport, most = Number.POSITIVE_INFINITY): string[] {
  const lines = found.files.slice(0, most).map((file) => {
    const name = printableLine(file.from === null ? file.path : `${file.from} -> ${file.path}`);
    return ` ${letters[file.kind]}  ${countText(file).padEnd(12)} ${name}`;
  });
  const more = found.fileCount - lines.length;
  return [...lines, ...(more > 0 ? [` …  and ${more} more`] : []), totalLine(found)];
}

function countText({ kind, added, removed }: ExportedFile): string {
  if (kind === "mode") return "mode";
  if (added === null || removed === null) return "binary";
  return [added > 0 ? `+${added}` : "", removed > 0 ? `-${removed}` : ""].filter((part) => part !== "").join(" ");
}

function totalLine({ fileCount, added, removed, commits, against }: WorkspaceExport): string {
  const count = (number: number, word: string) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const made = against === null && commits > 0 ? [`${count(commits, "commit")} made in the guest`] : [];
  return [`${count(fileCount, "file")} changed`, `+${added} -${removed}`, ...made].join(", ");
}

/** What a branch or bundle cannot hold, on stderr. */
export function noticeSubmodules(terminal: Terminal, { vm, submodules }: WorkspaceExport): void {
  for (const { path, files } of submodules) {
    terminal.notice(
      `left out: ${files === 1 ? "1 file" : `${files} files`} of the submodule "${path}"; banger vm workspace export ${vm.name} --apply takes them, too`,
      "yellow",
    );
  }
}

/** What is worth a look, on stderr. */
export function noticeNotes(terminal: Terminal, { notes }: WorkspaceExport): void {
  for (const note of notes) terminal.notice(note, "yellow");
}
