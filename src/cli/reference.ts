// The page docs/commands.md, made from the command tree. `node scripts/command-docs.ts` writes it; a test compares.
import { aliasesOf, commandPage, groupPage } from "./help.ts";
import type { Group } from "./entry.ts";
import { tree } from "./tree.ts";

/** The help pages of every command that is not hidden, as one Markdown page. */
export async function commandReference(): Promise<string> {
  const parts = [
    "# Commands\n\nEvery page below is what `--help` prints. Generated from the command tree: `node scripts/command-docs.ts`.\n",
    section("banger", groupPage([], tree)),
    ...(await pages([], tree)),
  ];
  return parts.join("\n");
}

async function pages(path: readonly string[], group: Group): Promise<string[]> {
  const parts: string[] = [];
  for (const [name, entry] of Object.entries(group.entries)) {
    if (entry.hidden === true) continue;
    const own = [...path, name];
    const title = ["banger", ...own].join(" ");
    if (entry.kind === "group") {
      parts.push(section(title, groupPage(own, entry)), ...(await pages(own, entry)));
    } else {
      const { default: loaded } = await entry.load();
      parts.push(section(title, commandPage(own, entry, loaded, aliasesOf(group, name))));
    }
  }
  return parts;
}

function section(title: string, page: string): string {
  return `## ${title}\n\n\`\`\`text\n${page.trimEnd()}\n\`\`\`\n`;
}
