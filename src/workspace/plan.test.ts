// What is told of a repository before anything of it is shipped, with a real git.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { inspect, plan } from "./plan.ts";
import { openSource } from "./source/source.ts";
import type { ShipmentRequest } from "./staging/shipment.ts";

const { signal } = new AbortController();
let directory: string;
let root: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-plan-"));
  root = join(directory, "repository");
  mkdirSync(root);
  git("init", "-q");
});
afterEach(() => rmSync(directory, { recursive: true }));

function git(...args: string[]): void {
  execFileSync("git", ["-C", root, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { stdio: "pipe" });
}

/** One of the two functions on the repository as it is now, in a scratch directory of its own. */
async function told<Result>(ask: typeof inspect | typeof plan, request: Partial<ShipmentRequest>): Promise<Result> {
  const scratch = mkdtempSync(join(directory, "scratch-"));
  const whole = { mode: "shallow", includeUntracked: false, ...request } as const;
  return (await ask(await openSource(root, { signal }), scratch, whole, { signal })) as Result;
}

test("untracked files are counted unless none could go along", async () => {
  git("commit", "-q", "--allow-empty", "-m", "x");
  writeFileSync(join(root, "untracked"), "");
  const untracked = async (request: Partial<ShipmentRequest>) =>
    (await told<Awaited<ReturnType<typeof inspect>>>(inspect, request)).untracked;
  assert.deepEqual(
    [await untracked({}), await untracked({ mode: "metadata-only" }), await untracked({ branch: "b", from: "HEAD" })],
    [1, 0, 0],
  );
});

test("pointers of Git LFS are counted where files are shipped as they lie here, and where they are those of a commit", async () => {
  const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
  for (const name of ["one.bin", "two.bin", "three.bin"]) writeFileSync(join(root, name), pointer);
  writeFileSync(join(root, "text"), "plain");
  git("add", "-A");
  git("commit", "-qm", "without attributes");
  const pointers = async (from?: string) =>
    (await told<Awaited<ReturnType<typeof plan>>>(plan, from === undefined ? {} : { branch: "x", from })).lfsPointers;
  assert.equal(await pointers(), 0);
  writeFileSync(join(root, ".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n");
  git("add", "-A");
  git("commit", "-qm", "with attributes");
  writeFileSync(join(root, "one.bin"), "fetched");
  assert.equal(await pointers(), 2);
  git("commit", "-q", "--allow-empty", "-m", "later");
  assert.equal(await pointers("HEAD~1"), 3);
  assert.equal(await pointers("HEAD~2"), 0);
});
