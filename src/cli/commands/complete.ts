// banger __complete: what the completion scripts of the shells ask. The last word is the one that is being typed.
import { proposeCompletions } from "@stricli/core";
import { buildApp } from "../app.ts";
import { defineCommand } from "../command.ts";
import type { CliContext } from "../context.ts";
import { readCommandLine } from "../main.ts";
import type { Group } from "../entry.ts";
import { findRoute } from "../tree.ts";

export default defineCommand({
  about:
    "Prints one proposal on each line, with a tab and a description where there is one; the line :files asks for file names.",
  examples: [["banger __complete vm st", "what vm st can become"]],
  rest: "all",
  operands: "<word...>",
  parameters: {},
  async run(context) {
    for (const line of await proposals(context, context.rest ?? [])) context.streams.stdout.write(`${line}\n`);
  },
});

async function proposals(context: CliContext, words: readonly string[]): Promise<string[]> {
  const partial = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const route = findRoute(before);
  if (route.target.kind === "group") {
    return route.length === before.length ? groupProposals(route.target, partial) : [];
  }
  const { chosen, words: own, rest } = await readCommandLine(before);
  // The words of a guest's command are the guest's to know.
  if (chosen === undefined || rest !== undefined) return [];
  let files = false;
  const names: CliContext["names"] = (kind) => {
    files ||= kind === "file";
    return context.names(kind);
  };
  const ignore = () => {};
  const app = buildApp(chosen, { help: ignore, usageError: ignore, unknownCommand: ignore, failure: ignore });
  const found = await proposeCompletions(app, [...own, partial], { ...context, names });
  const lines = found
    .filter(({ kind, completion }) => completion !== "--" && (partial.startsWith("-") || kind !== "argument:flag"))
    .map(({ kind, completion, brief }) => (kind === "argument:flag" ? `${completion}\t${brief}` : completion));
  return files && !partial.startsWith("-") ? [...lines, ":files"] : lines;
}

function groupProposals(group: Group, partial: string): string[] {
  return Object.entries(group.entries)
    .filter(([name, entry]) => entry.hidden !== true && name.startsWith(partial))
    .map(([name, entry]) => `${name}\t${entry.summary}`);
}
