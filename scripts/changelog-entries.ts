// The entries of the changelog: one Markdown file for each change, "<Kind>: <what changed>", a blank line, then the story.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"] as const;

export interface Entry {
  file: string;
  kind: (typeof kinds)[number];
  summary: string;
  story: string;
}

/** All entries of a directory, by name; throws for one that has another form. */
export function readEntries(directory: string): Entry[] {
  return readdirSync(directory)
    .toSorted()
    .map((file) => parseEntry(file, readFileSync(join(directory, file), "utf8")));
}

export function parseEntry(file: string, text: string): Entry {
  const match = /^(\w+): ([^\n]+[^\n.])\n(?:\n(.+))?$/s.exec(text);
  const kind = kinds.find((one) => one === match?.[1]);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*\.md$/.test(file) || match === null || kind === undefined) {
    throw new Error(
      `changelog/unreleased/${file}: a kebab-case .md file whose first line is "<kind>: <what changed>" ` +
        `without a full stop, kind one of ${kinds.join(", ")}, then a blank line and the story`,
    );
  }
  return { file, kind, summary: match[2] ?? "", story: (match[3] ?? "").trim() };
}

/** The section of a release, kinds in their order. */
export function releaseSection(title: string, entries: readonly Entry[]): string {
  const parts = kinds.flatMap((kind) => {
    const lines = entries
      .filter((entry) => entry.kind === kind)
      .map(({ summary, story }) => {
        const below = story === "" ? "" : `\n\n${story.replace(/^(?=.)/gm, "  ")}`;
        return `- ${summary}${below}\n`;
      });
    return lines.length === 0 ? [] : [`### ${kind}\n\n${lines.join("\n")}`];
  });
  return `## ${title}\n\n${parts.join("\n")}`;
}
