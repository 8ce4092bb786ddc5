// What every source file has: a comment that says what it is responsible for, a kebab-case name, and a bounded length.
import assert from "node:assert/strict";
import { basename } from "node:path";
import { test } from "node:test";
import { sourceFiles } from "./source-files.ts";

const maxLines = 500;
const typescript = sourceFiles("src/**/*.ts", "test/**/*.ts", "bench/**/*.ts", "scripts/**/*.ts");

test("every TypeScript file starts with a comment of its responsibility", () => {
  const without = typescript.filter(({ text }) => !/^(#!.*\n)?\/\/ \S.{9,}/.test(text));
  assert.deepEqual(
    without.map(({ path }) => path),
    [],
  );
});

test("every shell script starts with a comment of its responsibility", () => {
  const without = sourceFiles("scripts/**/*.sh", ".ci/run").filter(({ text }) => !/^(?:#!.*\n)?# \S.{15,}/.test(text));
  assert.deepEqual(
    without.map(({ path }) => path),
    [],
  );
});

test("every Go package says what it is for", () => {
  const packages = new Map<string, boolean>();
  for (const { path, text } of sourceFiles("go/**/*.go").filter((file) => !file.path.includes("/gen/"))) {
    if (path.endsWith("_test.go")) continue;
    const directory = path.slice(0, path.lastIndexOf("/"));
    const documented = /^\/\/ (Package|Command|The|[A-Z]\S+) [^\n]{10,}\n(\/\/[^\n]*\n)*package /m.test(text);
    packages.set(directory, documented || packages.get(directory) === true);
  }
  assert.deepEqual(
    [...packages].filter(([, documented]) => !documented).map(([directory]) => directory),
    [],
  );
});

test("names are kebab-case", () => {
  const wrong = typescript.filter(({ path }) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(basename(path)));
  assert.deepEqual(
    wrong.map(({ path }) => path),
    [],
  );
});

test(`no file is longer than ${maxLines} lines`, () => {
  const files = [...typescript, ...sourceFiles("go/**/*.go").filter(({ path }) => !path.includes("/gen/"))];
  const long = files.filter(({ text }) => text.split("\n").length > maxLines + 1);
  assert.deepEqual(
    long.map(({ path }) => path),
    [],
  );
});

test("what is exempt from a check says why", () => {
  const exemptions = typescript.flatMap(({ path, text }) =>
    text
      .split("\n")
      .filter((line) => /^\s*(\/\/|\/\*).*(oxlint-disable|eslint-disable|@ts-|oxfmt-ignore)/.test(line))
      .map((line) => ({ path, line })),
  );
  assert.deepEqual(
    exemptions.filter(({ line }) => !/ -- \S.{7,}/.test(line)),
    [],
  );
});
