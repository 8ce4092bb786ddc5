// banger vm workspace status
import type { ResultOf } from "../../../../api/methods.ts";
import { oneReference } from "../../../arguments.ts";
import { defineCommand } from "../../../command.ts";
import { printableLine } from "../../../output/sanitise.ts";
import type { Terminal } from "../../../output/terminal.ts";

type Status = ResultOf<"workspace.status">;

export default defineCommand<NonNullable<unknown>, [string]>({
  about: `Says what changed on either side since a repository was put into a VM: commits and files of the host that the VM does not have, and
files and commits of the guest that the host does not have. Changes nothing. Of a VM that does not run the host's part is told.`,
  examples: [
    ["banger vm workspace status box", "is the VM up to date, and is there work in it"],
    ["banger vm workspace status box --json", "the same for programs, with names of files"],
  ],
  parameters: { positional: oneReference("vm") },
  async run(context, _flags, vm) {
    await using client = await context.connect();
    const status = await client.call("workspace.status", { vm }, { signal: context.interrupts.signal });
    const { terminal } = context;
    if (terminal.json) return terminal.printJson(status);
    const { workspace, host, guest } = status;
    terminal.print(
      `${workspace.repoName} from ${printableLine(workspace.root)} at ${printableLine(workspace.guestPath)}, mode ${workspace.mode}`,
    );
    hostLines(terminal, status);
    guestLines(terminal, status);
    if (host.changed.count > 0 || (host.ahead ?? 0) > 0) {
      terminal.notice(
        (host.ahead ?? 0) > 0
          ? `next: banger vm workspace prepare ${vm} ${workspace.sourcePath}  # brings the new commits, too`
          : `next: banger vm workspace sync ${vm}`,
        "dim",
      );
    }
    if (guest.changed.count > 0 || (guest.commits ?? 0) > 0) {
      terminal.notice(`next: banger vm workspace export ${vm} -o work.patch`, "dim");
    }
  },
});

const maxShown = 20;

function hostLines(terminal: Terminal, { workspace, host }: Status): void {
  const at = host.headCommit === null ? "no commit" : host.headCommit.slice(0, 12);
  const moved = host.headCommit !== workspace.headCommit;
  const distance =
    host.ahead === null || host.behind === null
      ? "another history"
      : [plural(host.ahead, "new commit"), ...(host.behind > 0 ? [`${plural(host.behind, "commit")} gone`] : [])].join(
          ", ",
        );
  if (host.headCommit !== null || host.problem === "") {
    terminal.print(`host:  ${host.branch ?? "detached"} at ${at}${moved ? ` (${distance} since)` : ""}`);
  }
  if (host.problem !== "") terminal.print(`host:  ${printableLine(host.problem)}`);
  else files(terminal, "changed on the host", host.changed);
}

function guestLines(terminal: Terminal, { guest }: Status): void {
  if (guest.problem !== "") return terminal.print(`guest: ${printableLine(guest.problem)}`);
  const at = guest.headCommit === null ? "no commit" : guest.headCommit.slice(0, 12);
  const commits = guest.git
    ? guest.commits === null
      ? ""
      : ` (${plural(guest.commits, "new commit")})`
    : " (the guest has no git, so its commits are not counted)";
  terminal.print(`guest: ${printableLine(guest.branch ?? "detached")} at ${at}${commits}`);
  files(terminal, "changed in the guest", guest.changed);
}

function files(terminal: Terminal, what: string, { count, paths }: Status["host"]["changed"]): void {
  terminal.print(`       ${count === 0 ? `nothing ${what}` : `${plural(count, "file")} ${what}`}`);
  for (const path of paths.slice(0, maxShown)) terminal.print(`         ${printableLine(path)}`);
  if (count > maxShown && paths.length > 0) terminal.print(`         … and ${count - maxShown} more`);
}

function plural(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}
