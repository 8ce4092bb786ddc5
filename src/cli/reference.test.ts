// The generated page is current, and every example in the help is a command line that the parser takes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Example } from "./command.ts";
import { readCommandLine } from "./main.ts";
import { commandReference } from "./reference.ts";
import { runFake } from "./testing/run-fake.ts";
import type { Group } from "./entry.ts";
import { tree } from "./tree.ts";

test("docs/commands.md is what the command tree says", async () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/commands.md"), "utf8");
  assert.equal(page, await commandReference(), "write it again: node scripts/command-docs.ts");
});

async function examplesOf(group: Group): Promise<Example[]> {
  const nested = await Promise.all(
    Object.values(group.entries).map(async (entry) =>
      entry.kind === "group" ? await examplesOf(entry) : (await entry.load()).default.page.examples,
    ),
  );
  return [...group.examples, ...nested.flat()];
}

test("every example is a command line without a usage error", async () => {
  const examples = await examplesOf(tree);
  assert.ok(examples.length > 60, `saw only ${examples.length} examples`);
  for (const [line] of examples) {
    // Command lines inside of others count too: $(banger ...), and those behind a pipe.
    const inner = [...line.matchAll(/\$\(([^)]*)\)/g)].map(([, text = ""]) => text);
    const ours = [line.replaceAll(/\$\([^)]*\)/g, "x"), ...inner]
      .flatMap((text) => text.split(/ ?(?:\||&&|>>?) ?/))
      .filter((part) => part.startsWith("banger "));
    for (const part of ours) {
      const words = part.split(" ").slice(1);
      const { chosen, route } = await readCommandLine(words);
      assert.ok(chosen !== undefined || words.length === route.length, part);
      const ran = await runFake(words);
      // A question to the user has nobody to answer it here.
      if (/there is no terminal to ask/.test(ran.stderr)) continue;
      assert.notEqual(ran.code, 2, `${part}\n${ran.stderr}`);
    }
  }
});

test("every command has a summary, words and an example", async () => {
  const check = async (group: Group, path: string) => {
    for (const [name, entry] of Object.entries(group.entries)) {
      assert.match(entry.summary, /^[a-zA-Z].{8,70}[^.]$/, `${path} ${name}`);
      if (entry.kind === "group") await check(entry, `${path} ${name}`);
      else {
        const { page } = (await entry.load()).default;
        assert.ok(page.about.length > 60 && page.examples.length > 0, `${path} ${name}`);
      }
    }
  };
  await check(tree, "banger");
});
