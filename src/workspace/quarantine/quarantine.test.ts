// What a quarantine borrows, and what stays of it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Quarantine } from "./quarantine.ts";

const { signal } = new AbortController();

test("objects that it keeps outlive the directory that they were borrowed from", async () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-quarantine-"));
  try {
    const host = join(directory, "host");
    const git = (args: string[], input = "") =>
      execFileSync("git", ["-C", host, ...args], { input, encoding: "utf8", stdio: "pipe" }).trim();
    execFileSync("git", ["init", "-q", host]);
    const treeOf = (content: string) =>
      git(["mktree"], `100644 blob ${git(["hash-object", "-w", "--stdin"], content)}\tfile\n`);
    const packed = treeOf("packed");
    git(
      ["pack-objects", "-q", join(host, ".git/objects/pack/pack")],
      git(["rev-list", "--objects", "--no-walk", packed]),
    );
    git(["prune-packed", "-q"]);
    const loose = treeOf("loose");
    const objects = join(host, ".git/objects");
    const options = {
      directory: join(directory, "exports"),
      format: "sha1",
      maxBytes: 1e6,
      timeoutMs: 60_000,
    } as const;
    await using quarantine = await Quarantine.open({ ...options, objects: [objects] });
    await quarantine.keep(objects);
    await quarantine.keep(join(directory, "missing"));
    rmSync(host, { recursive: true });
    for (const tree of [packed, loose]) assert.equal(await quarantine.resolve(tree, "tree", signal), tree);
    assert.deepEqual(
      (await quarantine.changes(packed, loose, signal)).map(({ path }) => path.toString()),
      ["file"],
    );
    await quarantine[Symbol.asyncDispose]();
    assert.deepEqual(readdirSync(options.directory), []);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
