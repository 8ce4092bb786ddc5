// What a person should look at before a guest's changes are used: files that tools of the host act on by themselves, and links out
// of the work tree.
import { posix } from "node:path";
import type { Change } from "../quarantine/changes.ts";
import type { Quarantine } from "../quarantine/quarantine.ts";
import { showPath } from "../quarantine/show-path.ts";

/** Files and directories that are read or run on the host without being asked for. */
const acting =
  /(?:^|\/)(?:\.gitattributes|\.gitmodules|\.envrc|\.mise\.toml|mise\.toml|\.npmrc|\.pre-commit-config\.yaml)$|(?:^|\/)(?:\.githooks|\.husky|\.vscode|\.idea|\.devcontainer)\/|^\.github\/workflows\//;

const maxLinks = 1000;
const maxNamed = 20;

/** Sentences, the most important first. */
export async function worthALook(
  { git }: Quarantine,
  changes: readonly Change[],
  signal: AbortSignal,
): Promise<string[]> {
  const notes: string[] = [];
  const links = changes.filter(({ after }) => after?.mode === "120000").slice(0, maxLinks);
  if (links.length > 0) {
    const input = links.map(({ after }) => `${after?.id}\n`).join("");
    const { stdout } = await git(["cat-file", "--batch", "--buffer"], { input, signal });
    let at = 0;
    for (const { path } of links) {
      const head = stdout.indexOf("\n", at);
      const size = Number(stdout.toString("latin1", at, head).split(" ")[2]);
      const target = stdout.subarray(head + 1, head + 1 + size).toString("latin1");
      at = head + 1 + size + 1;
      const place = posix.join(posix.dirname(path.toString("latin1")), target);
      if (target.startsWith("/") || place === ".." || place.startsWith("../")) {
        notes.push(
          `"${showPath(path)}" is a link out of the repository: to "${showPath(Buffer.from(target, "latin1"))}"`,
        );
      }
    }
  }
  for (const { path, after } of changes) {
    if (after !== undefined && acting.test(path.toString("latin1"))) {
      notes.push(`"${showPath(path)}" is read by tools of the host without being asked for`);
    }
  }
  const rest = notes.length - maxNamed;
  return rest > 0 ? [...notes.slice(0, maxNamed), `and ${rest} more of the kind`] : notes;
}
