// The tree that is made without git's index is the one that git makes with it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { openSource } from "../source/source.ts";
import { treeOfEdited } from "./edited-tree.ts";
import { makeShipment } from "./shipment.ts";

const signal = new AbortController().signal;
let directory: string;
let repository: string;
const git = (...args: string[]) =>
  execFileSync("git", ["-C", repository, "-c", "user.name=t", "-c", "user.email=t@t", ...args], {
    stdio: "pipe",
    encoding: "utf8",
  });
const write = (name: string, content: string) => {
  mkdirSync(dirname(join(repository, name)), { recursive: true });
  writeFileSync(join(repository, name), content);
};
const names = [
  "a",
  "a.b",
  "a-b/x",
  "deep/er/est/one",
  "deep/er/est/two",
  "deep/er/other",
  "twin/one/f",
  "twin/two/f",
  "\u00fc \t'",
];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-edited-"));
  repository = join(directory, "repo");
  mkdirSync(repository);
});
afterEach(() => rmSync(directory, { recursive: true }));

async function shipped(...init: string[]) {
  git("init", "-q", ...init);
  for (const name of names) write(name, "same content");
  write("script", "#!");
  chmodSync(join(repository, "script"), 0o755);
  git("add", "-A");
  git("commit", "-qm", "x");
  const kept = join(directory, "kept");
  mkdirSync(kept);
  const source = await openSource(repository, { signal });
  return await makeShipment(source, kept, { mode: "shallow", includeUntracked: false }, { signal });
}

for (const format of ["sha1", "sha256"]) {
  test(`files that were written to, with ${format}: one, several, all; and a second time on top of the first`, async () => {
    const { staging, baseTree } = await shipped(`--object-format=${format}`);
    let tree = baseTree;
    for (const some of [["a"], ["deep/er/est/two", "twin/one/f"], names, ["script"]]) {
      for (const name of some) write(name, `${some.length} ${name}`);
      const made = await treeOfEdited(
        staging,
        tree,
        some.map((name) => Buffer.from(name)),
        { signal },
      );
      git("add", "-A");
      assert.equal(made?.tree, git("write-tree").trim());
      assert.deepEqual(
        made.changes.map(({ path }) => path.toString()),
        some,
      );
      const listed = execFileSync("git", [
        "--git-dir",
        staging.gitDir,
        "diff-tree",
        "-r",
        "-t",
        "--raw",
        tree,
        made.tree,
      ]);
      const ids = listed
        .toString()
        .trim()
        .split("\n")
        .map((line) => line.split(" ")[3] ?? "");
      // Half of each is enough: git shortens them.
      assert.deepEqual(
        [...new Set([...ids, made.tree.slice(0, ids[0]?.length)])].toSorted(),
        made.objects.map((id) => id.slice(0, ids[0]?.length)).toSorted(),
      );
      for (const id of made.objects) execFileSync("git", ["--git-dir", staging.gitDir, "cat-file", "-e", id]);
      tree = made.tree;
    }
  });
}

test("a file that was written again as it was changes nothing", async () => {
  const { staging, baseTree } = await shipped();
  write("deep/er/other", "same content");
  const made = await treeOfEdited(staging, baseTree, [Buffer.from("deep/er/other")], { signal });
  assert.deepEqual([made?.tree, made?.changes, made?.objects], [baseTree, [], []]);
});

test("what is more than that is left to the index", async () => {
  const { staging, baseTree } = await shipped();
  const of = (...some: string[]) =>
    treeOfEdited(
      staging,
      baseTree,
      some.map((name) => Buffer.from(name)),
      { signal },
    );
  write("new", "x");
  chmodSync(join(repository, "a"), 0o755);
  rmSync(join(repository, "a.b"));
  rmSync(join(repository, "a-b/x"));
  symlinkSync("a", join(repository, "a-b/x"));
  rmSync(join(repository, "deep"), { recursive: true });
  symlinkSync("twin", join(repository, "deep"));
  mkdirSync(join(directory, "one"));
  for (const name of ["new", "a", "a.b", "a-b/x", "deep/one/f", "with\nnewline"])
    assert.equal(await of(name), undefined, name);
  assert.equal(await of("twin/one/f", "new"), undefined);
  assert.equal(await of(), undefined);
  assert.equal(await of(...Array.from({ length: 17 }, (_, at) => `${at}`)), undefined);
  assert.notEqual(await of("twin/one/f"), undefined);
});
