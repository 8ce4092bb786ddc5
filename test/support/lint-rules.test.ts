// The linter's configuration finds what it is there for: each planted mistake is reported by its rule.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { root } from "./source-files.ts";

const planted: Record<string, [text: string, ...rules: string[]]> = {
  "src/vm/processes.ts": ['export { spawn } from "node:child_process";', "no-restricted-imports"],
  "src/vm/database.ts": ['export { DatabaseSync } from "node:sqlite";', "no-restricted-imports"],
  "src/state/process.ts": ['export { spawn } from "node:child_process";', "no-restricted-imports"],
  "src/cli/commands/state.ts": ['export * from "../../state/open.ts";', "no-restricted-imports"],
  "src/cli/process.ts": ['export { spawn } from "node:child_process";', "no-restricted-imports"],
  "src/lib/run.ts": ['export { spawn } from "node:child_process";'],
  "src/state/open.ts": ['export { DatabaseSync } from "node:sqlite";'],
  "src/vm/a.ts": ['import { b } from "./b.ts";\nexport const a = (): unknown => b;', "no-cycle"],
  "src/vm/b.ts": ['import { a } from "./a.ts";\nexport const b = (): unknown => a;', "no-cycle"],
  "src/vm/default.ts": ["export default 1;", "no-default-export"],
  "src/cli/commands/default.ts": ["export default 1;"],
  "src/vm/floating.ts": ["export function f(work: () => Promise<void>): void {\n  work();\n}", "no-floating-promises"],
  "src/vm/misused.ts": [
    "export function f(work: () => Promise<void>): void {\n  [1].forEach(async () => {\n    await work();\n  });\n}",
    "no-misused-promises",
  ],
  "src/vm/switch.ts": [
    'export function f(kind: "x" | "y"): number {\n  switch (kind) {\n    case "x":\n      return 1;\n  }\n  return 2;\n}',
    "switch-exhaustiveness-check",
  ],
  "src/vm/any.ts": ["export const value: any = 1;", "no-explicit-any"],
  "src/vm/unsafe.ts": [
    'const value = JSON.parse("1");\nexport const x = 1 + value.length;',
    "no-unsafe-assignment",
    "no-unsafe-member-access",
  ],
  "src/vm/thrown.ts": ['export function f(): never {\n  throw "text";\n}', "only-throw-error"],
  "src/vm/console.ts": ['console.log("text");', "no-console"],
  "src/vm/exit.ts": ["process.exit(1);", "no-process-exit"],
  "src/bin/exit.ts": ["process.exit(1);"],
  "src/vm/not-null.ts": ["export const f = (x: string | null) => x!.length;", "no-non-null-assertion"],
};

let project: string;
before(() => {
  project = mkdtempSync(join(tmpdir(), "banger-lint-"));
  for (const name of [".oxlintrc.json", "tsconfig.json", "package.json"])
    copyFileSync(join(root, name), join(project, name));
  symlinkSync(join(root, "node_modules"), join(project, "node_modules"));
  for (const [path, [text]] of Object.entries(planted)) {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    writeFileSync(join(project, path), `${text}\n`);
  }
});
after(() => rmSync(project, { recursive: true }));

test("each planted mistake is found by its rule, and what is allowed is not", () => {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, "node_modules/oxlint/bin/oxlint"), "-f", "json", "src"],
    { cwd: project, encoding: "utf8", timeout: 120_000 },
  );
  assert.match(stdout, /^\{/, stderr);
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
  for (const [path, [, ...rules]] of Object.entries(planted)) {
    const found = diagnostics
      .filter((diagnostic) => diagnostic.filename === path)
      .map((diagnostic) => /\((.*)\)$/.exec(diagnostic.code)?.[1] ?? "");
    for (const rule of rules) assert.ok(found.includes(rule), `${path}: ${rule} is not among ${found.join(", ")}`);
    if (rules.length === 0) assert.deepEqual(found, [], path);
  }
});
