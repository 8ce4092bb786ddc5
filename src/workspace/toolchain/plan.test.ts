// The plan of tools, of files as repositories have them.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { planToolchain } from "./plan.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "banger-tools-"));
});
afterEach(() => rmSync(root, { recursive: true }));

async function plan(files: Record<string, string>): Promise<string[]> {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
  const { tools } = await planToolchain(root);
  for (const name of Object.keys(files)) rmSync(join(root, name));
  return tools.map(({ tool, version, source }) => `${tool}@${version} ${source}`);
}

test("each file in the forms that it comes in", async () => {
  assert.deepEqual(
    await plan({
      "mise.toml":
        '[tools]\nnode = "22"\ngo = ["1.24", "1.23"]\npython = { version = "3.12", x = 1 }\n"npm:x" = "latest"\n',
    }),
    ["node@22 mise.toml", "go@1.24 mise.toml", "python@3.12 mise.toml", "npm:x@latest mise.toml"],
  );
  assert.deepEqual(await plan({ ".tool-versions": "# tools\nnodejs 20.11.1 18.0.0\ngolang 1.22.0 # why\n\nrust\n" }), [
    "node@20.11.1 .tool-versions",
    "go@1.22.0 .tool-versions",
  ]);
  assert.deepEqual(await plan({ "go.mod": "module x\n\ngo 1.23.0\n\ntoolchain go1.24.1\n" }), ["go@1.24.1 go.mod"]);
  assert.deepEqual(await plan({ "go.mod": "module x\ngo 1.23\n" }), ["go@1.23 go.mod"]);
  for (const [text, version] of [
    ["v20.1.0\n", "20.1.0"],
    ["lts/*", "lts"],
    ["lts/iron", "lts-iron"],
    ["node", "latest"],
    ["22", "22"],
    ["$(reboot)", "null"],
  ]) {
    assert.deepEqual(await plan({ ".nvmrc": String(text) }), [`node@${version} .nvmrc`]);
  }
  assert.deepEqual(await plan({ ".python-version": "# comment\n3.12.1\n3.11\n" }), ["python@3.12.1 .python-version"]);
  assert.deepEqual(await plan({ "rust-toolchain.toml": '[toolchain]\nchannel = "1.80"\n' }), [
    "rust@1.80 rust-toolchain.toml",
  ]);
  assert.deepEqual(await plan({ "rust-toolchain": "nightly-2025-01-01\n" }), [
    "rust@nightly-2025-01-01 rust-toolchain",
  ]);
  assert.deepEqual(await plan({ "rust-toolchain": '[toolchain]\nchannel = "stable"\n' }), [
    "rust@stable rust-toolchain",
  ]);
  for (const [range, version] of [
    [">=20", "20"],
    ["^20.1.2", "20"],
    ["~20.1.2", "20.1"],
    ["20.x", "20"],
    ["18.2.0", "18.2.0"],
    [">=18 <23", "18"],
    ["18 || 20", "null"],
    ["*", "null"],
  ]) {
    assert.deepEqual(await plan({ "package.json": JSON.stringify({ engines: { node: range } }) }), [
      `node@${version} package.json`,
    ]);
  }
});

test("the first file wins, and says so", async () => {
  writeFileSync(join(root, ".mise.toml"), '[tools]\nnode = "22"\n');
  writeFileSync(join(root, ".nvmrc"), "20\n");
  writeFileSync(join(root, "package.json"), '{"engines":{"node":"22"}}');
  const { tools, shadowed, files } = await planToolchain(root);
  assert.deepEqual(
    tools.map(({ version }) => version),
    ["22"],
  );
  assert.deepEqual(
    shadowed.map(({ source, version }) => `${source} ${version}`),
    [".nvmrc 20"],
  );
  assert.deepEqual(files, [".mise.toml", ".nvmrc", "package.json"]);
});

test("what is broken, a link, a directory or huge pins nothing", async () => {
  assert.deepEqual(
    await plan({ "mise.toml": "[tools\nnode = ", "package.json": "{", "rust-toolchain.toml": "x = 1" }),
    [],
  );
  assert.deepEqual(
    await plan({ "package.json": "[1]", ".tool-versions": "", "go.mod": "\0".repeat(2 * 1024 * 1024) }),
    [],
  );
  symlinkSync("/etc/passwd", join(root, ".python-version"));
  mkdirSync(join(root, ".nvmrc"));
  assert.deepEqual((await planToolchain(root)).tools, []);
});
