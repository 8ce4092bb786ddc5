// What a guest has of a plan: real shell, with programs that stand for tools.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { installProblem, installScript, lookScript, missingTools, parseLook, satisfies } from "./guest-tools.ts";
import type { PinnedTool } from "./tool.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "banger-guest-tools-"));
  mkdirSync(join(home, ".local/bin"), { recursive: true });
});
afterEach(() => rmSync(home, { recursive: true }));

const pin = (tool: string, version: string | null, source: string): PinnedTool => ({
  tool,
  version,
  wanted: String(version),
  source,
});
const program = (name: string, script: string) => {
  writeFileSync(join(home, ".local/bin", name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(home, ".local/bin", name), 0o755);
};
const run = ([file = "", ...args]: string[]) =>
  execFileSync(file, args, { encoding: "utf8", env: { HOME: home, PATH: "/usr/bin:/bin" } });

test("versions of what is there, and what is missing", () => {
  program("go", 'echo "go version go1.24.1 linux/amd64"');
  program("node", 'echo "v22.3.0"; echo noise >&2');
  program("rustc", "exit 1");
  const tools = [
    pin("go", "1.23.0", "go.mod"),
    pin("node", "20", ".nvmrc"),
    pin("rust", "1.80", "rust-toolchain"),
    pin("no-such-tool", "1", ".tool-versions"),
    pin("npm:x", "1", "mise.toml"),
    pin("$(touch /tmp/evil)", "1", "mise.toml"),
  ];
  const found = parseLook(run(lookScript(home, tools)));
  assert.deepEqual(
    [...found.versions],
    [
      ["go", "1.24.1"],
      ["node", "22.3.0"],
    ],
  );
  assert.equal(found.mise, false);
  assert.deepEqual(
    missingTools({ tools, shadowed: [], files: [] }, found).map(({ tool }) => tool),
    ["node", "rust", "no-such-tool", "npm:x", "$(touch /tmp/evil)"],
  );
});

test("with mise its own choice counts, and it is asked to install the rest", () => {
  program(
    "mise",
    `echo "$PWD: $*" >>${home}/asked; [ "$1" != exec ] || { shift 2; [ "$1" != node ] || echo v20.0.0; }`,
  );
  const tools = [pin("node", "20", ".nvmrc"), pin("python", "3.12", ".python-version"), pin("go", "1.24", "mise.toml")];
  const found = parseLook(run(lookScript(home, tools)));
  assert.equal(found.mise, true);
  const missing = missingTools({ tools, shadowed: [], files: [] }, found);
  assert.deepEqual(
    missing.map(({ tool }) => tool),
    ["python", "go"],
  );
  rmSync(join(home, "asked"));
  run(installScript(home, missing));
  assert.equal(installProblem("mise x\nmise ERROR no go\nmise ERROR Run with --verbose\n"), "no go");
  assert.equal(installProblem("sh: killed\n"), "sh: killed");
  assert.equal(
    readFileSync(join(home, "asked"), "utf8"),
    `${home}: install --yes\n${home}: use --global --pin --yes python@3.12\n`,
  );
});

test("versions: a prefix is enough, and some files name the least one", () => {
  const does = (version: string | null, source: string, found: string) => satisfies(pin("x", version, source), found);
  assert.ok(does("1.24", ".tool-versions", "1.24.1"));
  assert.ok(!does("1.24", ".tool-versions", "1.25.0"));
  assert.ok(!does("1.24.1", ".tool-versions", "1.24"));
  assert.ok(does("1.24", "go.mod", "1.25.0"));
  assert.ok(does("20", "package.json", "22.1.0"));
  assert.ok(!does("22", "package.json", "20.9.0"));
  assert.ok(does("lts", ".nvmrc", "22.0.0"));
  assert.ok(does(null, "package.json", "1"));
});
