// Files of Git LFS, in repositories of a real git: the pointers that were never fetched, and those of a commit.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { plan } from "./plan.ts";
import { openSource } from "./source/source.ts";

const { signal } = new AbortController();

test("pointers are counted where files are shipped as they lie here, and where they are those of a commit", async () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-lfs-"));
  try {
    const root = join(directory, "repository");
    mkdirSync(root);
    const git = (...args: string[]) =>
      execFileSync("git", ["-C", root, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { stdio: "pipe" });
    git("init", "-q");
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    for (const name of ["one.bin", "two.bin", "three.bin"]) writeFileSync(join(root, name), pointer);
    writeFileSync(join(root, "text"), "plain");
    git("add", "-A");
    git("commit", "-qm", "without attributes");
    let count = 0;
    const pointers = async (from?: string) => {
      const scratch = join(directory, `scratch-${count++}`);
      mkdirSync(scratch);
      const request = { mode: "shallow", includeUntracked: false, ...(from && { branch: "x", from }) } as const;
      return (await plan(await openSource(root, { signal }), scratch, request, { signal })).lfsPointers;
    };
    assert.equal(await pointers(), 0);
    writeFileSync(join(root, ".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    git("add", "-A");
    git("commit", "-qm", "with attributes");
    writeFileSync(join(root, "one.bin"), "fetched");
    assert.equal(await pointers(), 2);
    git("commit", "-q", "--allow-empty", "-m", "later");
    assert.equal(await pointers("HEAD~1"), 3);
    assert.equal(await pointers("HEAD~2"), 0);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
