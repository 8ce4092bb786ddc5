// Who may import whom: the levels of the table in ARCHITECTURE.md. A file imports lower levels and its own folder.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { test } from "node:test";
import { root, type SourceFile, sourceFiles } from "./source-files.ts";

/** Imports on one level that are part of the design, each with its reason. */
const alsoAllowed: Record<string, string> = {
  "state -> api": "rows hold the records that methods speak of",
  "cli -> sdk": "the CLI is the SDK's first user",
};

/** What some folders must not see although it lies below them. */
const forbidden: Record<string, string[]> = {
  cli: ["daemon", "vm", "vmm", "image", "kernel", "network", "guest", "workspace", "ssh", "state"],
  sdk: ["daemon", "vm", "vmm", "image", "kernel", "network", "guest", "workspace", "ssh", "state"],
};

/** Folder of src -> level, as ARCHITECTURE.md says. */
function readLevels(): Map<string, number> {
  const map = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  return new Map(
    [...map.matchAll(/^\| src\/(\w+) *\| (\d) *\|/gm)].map(([, folder = "", level]) => [folder, Number(level)]),
  );
}

/** Packages that only some folders load: each costs start-up time or has one owner. */
const packageOwners: Record<string, string[]> = {
  "@bufbuild/protobuf": ["guest", "network"],
  "@connectrpc/connect": ["guest", "network"],
  "@connectrpc/connect-node": ["guest", "network"],
  "@stricli/core": ["cli", "bin"],
  "smol-toml": ["config", "workspace"],
  valibot: ["api", "config", "daemon", "image", "kernel", "sdk", "state", "vmm"],
};

interface Edge {
  path: string;
  from: string;
  to: string;
}

/** Imports that leave their folder of src: static, dynamic, re-exports and types alike. */
function edgesOf({ path, text }: SourceFile): Edge[] {
  const folder = (file: string) => (file.startsWith("src/") ? (file.split("/")[1] ?? "") : `outside of src (${file})`);
  const targets = [...text.matchAll(/(?:\bfrom|\bimport\s*\(?)\s*"(\.[^"\n]+)"/g)].map(([, target = ""]) =>
    posix.join(posix.dirname(path), target),
  );
  return targets
    .map((target) => ({ path, from: folder(path), to: folder(target) }))
    .filter((edge) => edge.from !== edge.to);
}

function breach({ from, to }: Edge, levels: ReadonlyMap<string, number>): string | undefined {
  const [fromLevel, toLevel] = [levels.get(from), levels.get(to)];
  if (fromLevel === undefined) return `src/${from} is not in the table of ARCHITECTURE.md`;
  if (toLevel === undefined) return `${to} is not in the table of ARCHITECTURE.md`;
  if (forbidden[from]?.includes(to) === true) return `src/${from} must not see src/${to}`;
  if (toLevel < fromLevel || `${from} -> ${to}` in alsoAllowed) return undefined;
  return `src/${from} has level ${fromLevel}, src/${to} has level ${toLevel}`;
}

/** Tests and their data put real things of any folder together. */
const isTest = (path: string) => path.endsWith(".test.ts") || path.includes("/testdata/");

test("every import goes down, and the table names every folder", () => {
  const levels = readLevels();
  const files = sourceFiles("src/**/*.ts").filter(({ path }) => !isTest(path));
  const edges = files.flatMap(edgesOf);
  assert.ok(files.length > 50 && edges.length > 50, `saw only ${files.length} files and ${edges.length} imports`);
  const breaches = edges.flatMap((edge) => {
    const why = breach(edge, levels);
    return why === undefined ? [] : [`${edge.path}: ${why}`];
  });
  assert.deepEqual(breaches, []);
  for (const rule of Object.keys(alsoAllowed)) {
    assert.ok(
      edges.some(({ from, to }) => `${from} -> ${to}` === rule),
      `nothing needs "${rule}" any more`,
    );
  }
});

test("each package is loaded only by its owners", () => {
  const files = sourceFiles("src/**/*.ts").filter(({ path }) => !isTest(path));
  const uses = files.flatMap(({ path, text }) =>
    [...text.matchAll(/(?:\bfrom|\bimport\s*\(?)\s*"((?:@[\w.-]+\/)?[a-z][\w.-]*)[^"\n]*"/g)]
      .map(([, name = ""]) => name)
      .filter((name) => name !== "node")
      .map((name) => ({ path, name, folder: path.split("/")[1] ?? "" })),
  );
  assert.ok(uses.length > 5, `saw only ${uses.length} imports of packages`);
  const breaches = uses.filter(({ name, folder }) => packageOwners[name]?.includes(folder) !== true);
  assert.deepEqual(
    breaches.map(({ path, name }) => `${path} imports ${name}`),
    [],
  );
});

test("the rule finds breaches in every form of import", () => {
  const levels = new Map([
    ["lib", 0],
    ["state", 1],
    ["vm", 3],
    ["cli", 4],
  ]);
  const breaches = (path: string, text: string) => edgesOf({ path, text }).map((edge) => breach(edge, levels));
  assert.deepEqual(breaches("src/vm/a.ts", 'import { a } from "../lib/a.ts";\nimport { b } from "./b.ts";\n'), [
    undefined,
  ]);
  const up = ["src/lib has level 0, src/vm has level 3"];
  for (const text of [
    'import { a } from "../vm/a.ts";',
    'import type {\n  a,\n} from "../vm/a.ts";',
    'import "../vm/a.ts";',
    'export * from "../vm/a.ts";',
    'const a = await import("../vm/a.ts");',
    'type A = import("../vm/a.ts").A;',
  ]) {
    assert.deepEqual(breaches("src/lib/x.ts", text), up, text);
  }
  assert.deepEqual(breaches("src/lib/deep/x.ts", 'import "../../vm/a.ts";'), up);
  assert.deepEqual(breaches("src/cli/a.ts", 'import "../state/a.ts";'), ["src/cli must not see src/state"]);
  assert.match(String(breaches("src/vm/a.ts", 'import "../new/a.ts";')), /^new is not in the table/);
  assert.match(String(breaches("src/vm/a.ts", 'import "../../test/a.ts";')), /outside of src/);
});
