// Real git repositories: which files go, which never do, and that what is shipped is the same repository.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterEach, beforeEach, test } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { quietProgress } from "../../lib/progress.ts";
import { run } from "../../lib/run.ts";
import { ship } from "../ship.ts";
import { openSource } from "../source/source.ts";
import { makeShipment, type Shipment, type ShipmentRequest } from "./shipment.ts";

const signal = new AbortController().signal;
let directory: string;
let repository: string;
let guest: string;
let count = 0;
const gitIn = (path: string, ...args: string[]) =>
  execFileSync("git", ["-C", path, ...args], { stdio: "pipe", encoding: "utf8" }).trim();
const git = (...args: string[]) => gitIn(repository, ...args);
const inGuest = (...args: string[]) => gitIn(guest, ...args);
const write = (name: string, content: string | Buffer) => writeFileSync(join(repository, name), content);
const latin = (path: string) => Buffer.concat([Buffer.from(`${path}/latin-`), Buffer.from([0xe9])]);
const commit = (message: string) => git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", message);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-workspace-"));
  repository = join(directory, "project");
  guest = join(directory, "guest");
  mkdirSync(join(repository, "sub dir"), { recursive: true });
  git("init", "-q", "--initial-branch", "main");
  write(".gitignore", "*.log\n");
  write("committed.txt", "old");
  write("gone.txt", "");
  write("-dash'quote\nline", "odd name");
  write("sub dir/tool.sh", "#!/bin/sh\n");
  chmodSync(join(repository, "sub dir/tool.sh"), 0o755);
  symlinkSync("committed.txt", join(repository, "link"));
  writeFileSync(latin(repository), "bytes");
  write("case", "lower");
  git("add", "-A");
  commit("x");
  git("mv", "case", "Case");
  write("committed.txt", "dirty");
  write("staged.txt", "staged");
  git("add", "staged.txt");
  rmSync(join(repository, "gone.txt"));
  write("untracked.env", "SECRET=1");
  write("ignored.log", "noise");
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Makes the shipment and unpacks it as a guest would, with the system's tar. */
async function shipped(path = repository, request: Partial<ShipmentRequest> = {}): Promise<Shipment> {
  const source = await openSource(path, { signal });
  const scratch = join(directory, `shipment-${(count += 1)}`);
  mkdirSync(scratch);
  const made = await makeShipment(
    source,
    scratch,
    { mode: "shallow", includeUntracked: false, ...request },
    { signal },
  );
  rmSync(guest, { recursive: true, force: true });
  mkdirSync(guest);
  await ship(
    { scratch, filesRoot: made.filesRoot, files: made.files, extra: { root: made.extraRoot, name: made.extra } },
    (tar: Readable) => run({ file: "tar", args: ["-x", "-C", guest], input: tar }),
    quietProgress(signal),
  );
  return made;
}

const names = ({ files }: Shipment) => files.map((name) => name.toString("latin1")).toSorted();
const tracked = [
  "-dash'quote\nline",
  ".gitignore",
  "Case",
  "committed.txt",
  "latin-\xe9",
  "link",
  "staged.txt",
  "sub dir/tool.sh",
];

test("tracked files as they are now; never ignored, untracked or deleted ones; and git sees there what it sees here", async () => {
  const made = await shipped(join(repository, "sub dir"));
  assert.deepEqual(names(made), tracked.toSorted());
  assert.equal(made.source.subdirectory, "sub dir");
  assert.equal(readFileSync(join(guest, "committed.txt"), "utf8"), "dirty");
  assert.equal(readFileSync(join(guest, "-dash'quote\nline"), "utf8"), "odd name");
  assert.equal(readFileSync(latin(guest), "utf8"), "bytes");
  assert.equal(readlinkSync(join(guest, "link")), "committed.txt");
  assert.equal(lstatSync(join(guest, "sub dir/tool.sh")).mode & 0o777, 0o755);
  assert.deepEqual([existsSync(join(guest, "untracked.env")), existsSync(join(guest, "Case"))], [false, true]);
  rmSync(join(repository, "untracked.env"));
  assert.equal(inGuest("status", "--porcelain"), git("status", "--porcelain"));
  assert.equal(inGuest("fsck", "--no-dangling"), "");
  // What the guest changed is measured from exactly what was shipped.
  assert.equal(inGuest("diff", "--stat", "refs/banger/base"), "");
  assert.equal(inGuest("rev-parse", "refs/banger/base"), made.baseTree);
});

test("untracked files go when they are asked for, and git does not know them there either", async () => {
  mkdirSync(join(repository, "nested"));
  gitIn(join(repository, "nested"), "init", "-q");
  write("nested/file", "another repository's");
  const made = await shipped(repository, { includeUntracked: true });
  assert.deepEqual(names(made), [...tracked, "untracked.env"].toSorted());
  assert.equal(inGuest("status", "--porcelain", "untracked.env"), "?? untracked.env");
});

test("history: recent by default, all of it in mode full, none of the files in mode metadata-only, no git in mode copy", async () => {
  for (let at = 0; at < 15; at++) commitEmpty(`c${at}`);
  git("-c", "user.name=t", "-c", "user.email=t@t", "tag", "-a", "-m", "t", "v1", "HEAD~12");
  git("branch", "side", "HEAD~3");
  await shipped();
  assert.equal(inGuest("rev-list", "--count", "HEAD"), "10");
  assert.equal(inGuest("rev-parse", "HEAD"), git("rev-parse", "HEAD"));
  assert.equal(inGuest("for-each-ref", "--format=%(refname)"), "refs/banger/base\nrefs/heads/main");
  await shipped(repository, { mode: "full" });
  assert.equal(inGuest("rev-list", "--count", "HEAD"), "16");
  assert.equal(inGuest("rev-parse", "v1^{commit}", "side"), git("rev-parse", "v1^{commit}", "side"));
  assert.equal(inGuest("fsck", "--no-dangling"), "");
  const metadata = await shipped(repository, { mode: "metadata-only" });
  assert.deepEqual(metadata.files, []);
  inGuest("checkout", "--", "Case");
  assert.equal(readFileSync(join(guest, "Case"), "utf8"), "lower");
  await shipped(repository, { mode: "copy" });
  assert.equal(existsSync(join(guest, ".git")), false);
  assert.equal(readFileSync(join(guest, "committed.txt"), "utf8"), "dirty");
});

const commitEmpty = (message: string) =>
  git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", message);

test("merges are cut where git's own shallow clone cuts them", async () => {
  git("stash", "-q");
  for (let at = 0; at < 8; at++) {
    git("checkout", "-qb", `side${at}`);
    commitEmpty(`side ${at}`);
    git("checkout", "-q", "main");
    commitEmpty(`main ${at}`);
    git("-c", "user.name=t", "-c", "user.email=t@t", "merge", "-q", "--no-ff", "-m", `merge ${at}`, `side${at}`);
  }
  await shipped();
  gitIn(directory, "clone", "-q", "--depth", "10", "--single-branch", `file://${repository}`, "theirs");
  const theirs = join(directory, "theirs");
  assert.equal(inGuest("rev-list", "HEAD"), gitIn(theirs, "rev-list", "HEAD"));
  assert.deepEqual(sortedLines(join(guest, ".git/shallow")), sortedLines(join(theirs, ".git/shallow")));
});

const sortedLines = (path: string) => readFileSync(path, "utf8").trim().split("\n").toSorted();

test("a branch begins at HEAD with what is not committed, or elsewhere with the files of that commit", async () => {
  commitEmpty("later");
  await shipped(repository, { branch: "try/it" });
  assert.equal(inGuest("symbolic-ref", "HEAD"), "refs/heads/try/it");
  assert.equal(readFileSync(join(guest, "committed.txt"), "utf8"), "dirty");
  const made = await shipped(repository, { branch: "old", from: "HEAD~1" });
  assert.equal(made.startCommit, git("rev-parse", "HEAD~1"));
  assert.equal(readFileSync(join(guest, "committed.txt"), "utf8"), "old");
  assert.equal(inGuest("status", "--porcelain"), "");
  await assert.rejects(shipped(repository, { branch: "x", from: "nowhere" }), {
    code: "workspace.failed",
    message: /nowhere/,
  });
  await assert.rejects(shipped(repository, { branch: "-x..y" }), { code: "usage" });
});

test("the guest knows the origin without a login, and who commits", async () => {
  git("remote", "add", "origin", "https://me:token@example.org/me/repo.git");
  git("config", "user.name", 'Ada "L" \\ Ü');
  git("config", "user.email", "ada@example.org");
  await shipped();
  assert.equal(inGuest("remote", "get-url", "origin"), "https://example.org/me/repo.git");
  assert.equal(inGuest("config", "--local", "user.name"), 'Ada "L" \\ Ü');
  assert.equal(inGuest("config", "--local", "user.email"), "ada@example.org");
});

test("a linked work tree, a detached HEAD, a repository without commits or files, and an index of another kind", async () => {
  git("worktree", "add", "-q", "--detach", join(directory, "linked"), "HEAD");
  const linked = await shipped(join(directory, "linked"));
  assert.equal(linked.branch, null);
  assert.equal(inGuest("rev-parse", "HEAD"), git("rev-parse", "HEAD"));
  const fresh = join(directory, "fresh");
  gitIn(directory, "init", "-q", fresh);
  assert.deepEqual((await shipped(fresh)).files, []);
  writeFileSync(join(fresh, "first"), "1");
  gitIn(fresh, "add", "first");
  await shipped(fresh);
  assert.equal(inGuest("status", "--porcelain"), "A  first");
  git("update-index", "--index-version", "4");
  git("update-index", "--assume-unchanged", "Case");
  git("update-index", "--split-index");
  assert.match(git("rev-parse", "--shared-index-path"), /sharedindex/);
  write("Case", "changed although nobody looks");
  const other = await shipped();
  assert.deepEqual(names(other), tracked.toSorted());
  assert.equal(inGuest("show", "refs/banger/base:Case"), "changed although nobody looks");
});

test("a repository with sha256", async () => {
  const other = join(directory, "sha256");
  gitIn(directory, "init", "-q", "--object-format=sha256", other);
  writeFileSync(join(other, "a"), "a");
  gitIn(other, "add", "a");
  gitIn(other, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "a");
  await shipped(other);
  assert.equal(inGuest("rev-parse", "HEAD").length, 64);
  assert.equal(inGuest("status", "--porcelain"), "");
});

test("submodules: refused with git, their files in mode copy", async () => {
  const inner = join(directory, "inner");
  gitIn(directory, "init", "-q", inner);
  writeFileSync(join(inner, "deep"), "inner file");
  gitIn(inner, "add", "deep");
  gitIn(inner, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "i");
  git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner, "mod");
  await assert.rejects(shipped(), { code: "workspace.failed", message: /submodules \("mod"\)/, hint: /--mode copy/ });
  await shipped(repository, { mode: "copy" });
  assert.equal(readFileSync(join(guest, "mod/deep"), "utf8"), "inner file");
  git("submodule", "--quiet", "deinit", "-f", "mod");
  await assert.rejects(shipped(repository, { mode: "copy" }), { code: "workspace.failed", hint: /submodule update/ });
});

test("a large file with holes", async () => {
  write("large", "");
  git("add", "large");
  commit("large");
  truncateSync(join(repository, "large"), 40 * 1024 * 1024);
  await shipped();
  const { size, blocks } = lstatSync(join(guest, "large"));
  assert.equal(size, 40 * 1024 * 1024);
  assert.ok(blocks * 512 < size / 10, `${blocks} blocks`);
});

test("a partial clone whose objects are not there is told as such", async () => {
  commitEmpty("more");
  git("config", "uploadpack.allowFilter", "true");
  git("reset", "-q", "--hard");
  gitIn(directory, "clone", "-q", "--filter=blob:none", "--no-checkout", `file://${repository}`, "partial");
  const partial = join(directory, "partial");
  gitIn(partial, "config", "remote.origin.url", `file://${directory}/nowhere`);
  await assert.rejects(shipped(partial, { mode: "metadata-only" }), {
    code: "workspace.failed",
    message: /partial clone/,
  });
});

test("a guest that stops reading is the error that is told", async () => {
  const made = await shipped();
  await assert.rejects(
    ship(
      { scratch: directory, filesRoot: repository, files: made.files, extra: null },
      async () => {
        throw new BangerError("guest.unreachable", "the guest is gone");
      },
      quietProgress(signal),
    ),
    { code: "guest.unreachable" },
  );
});

test("what is not a work tree is refused with a way on", async () => {
  await assert.rejects(shipped(directory), { code: "workspace.not-a-repository", hint: /git -C .* init/ });
  await assert.rejects(shipped(join(directory, "missing")), {
    code: "workspace.not-a-repository",
    hint: `ls ${directory}`,
    details: { missing: join(directory, "missing") },
  });
  await assert.rejects(shipped(join(repository, "committed.txt")), { code: "workspace.not-a-repository" });
  const bare = join(directory, "bare.git");
  execFileSync("git", ["init", "-q", "--bare", bare]);
  await assert.rejects(shipped(bare), { code: "workspace.not-a-repository", message: /bare/ });
});
