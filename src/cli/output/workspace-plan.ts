// Prints what would be shipped of a repository.
import type { ResultOf } from "../../api/methods.ts";
import { formatBytes } from "../../lib/units.ts";
import { printableLine } from "./sanitise.ts";
import type { Terminal } from "./terminal.ts";

const maxShown = 50;

export function printPlan(terminal: Terminal, plan: ResultOf<"workspace.plan">): void {
  if (terminal.json) return terminal.printJson(plan);
  for (const { path, kind, state } of plan.shipped) {
    const suffix = kind === "executable" ? "*" : kind === "link" ? "@" : kind === "directory" ? "/" : "";
    terminal.print(`${marks[state]} ${printableLine(path)}${suffix}`);
  }
  const { files, name, mode, sizeBytes, branch, headCommit } = plan;
  const commit = headCommit === null ? "no commit yet" : headCommit.slice(0, 12);
  terminal.notice(
    `${name}: ${files} files, ${formatBytes(sizeBytes)}, mode ${mode}, ${branch ?? "no branch"} at ${commit}`,
  );
  section(terminal, "deleted on the host, so not in the VM", plan.deleted.length, plan.deleted);
  section(terminal, "untracked, not shipped", unshipped(plan), plan.untrackedPaths.paths);
  section(terminal, "ignored, never shipped", plan.ignored.count, plan.ignored.paths);
  section(
    terminal,
    "large",
    plan.large.length,
    plan.large.map((file) => `${file.path} (${formatBytes(file.sizeBytes)})`),
  );
  if (plan.lfsPointers > 0) terminal.notice(lfsWords(plan.lfsPointers), "yellow");
}

/** As git status has them: changed, added, untracked. */
const marks = { clean: " ", changed: "M", added: "A", untracked: "?" };

function unshipped({ shipped, untrackedPaths }: ResultOf<"workspace.plan">): number {
  return shipped.some(({ state }) => state === "untracked") ? 0 : untrackedPaths.count;
}

function section(terminal: Terminal, title: string, count: number, paths: readonly string[]): void {
  if (count === 0) return;
  terminal.notice(`${title}: ${count}`);
  for (const path of paths.slice(0, maxShown)) terminal.notice(`  ${path}`, "dim");
  if (count > maxShown) terminal.notice(`  … and ${count - maxShown} more (all with --json)`, "dim");
}

/** Of --from they are always pointers: what git has is shipped. */
export function lfsWords(count: number): string {
  const files = count === 1 ? "1 file of Git LFS is" : `${count} files of Git LFS are`;
  return `${files} shipped as a pointer, without the content`;
}
