// Real git repositories: which files go, which never do, and a tar that unpacks to the same.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterEach, beforeEach, test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { quietProgress } from "../lib/progress.ts";
import { run } from "../lib/run.ts";
import { inspectRepository } from "./repository.ts";
import { shipRepository } from "./ship.ts";

const signal = new AbortController().signal;
let directory: string;
let repository: string;
const git = (...args: string[]) => execFileSync("git", ["-C", repository, ...args], { stdio: "pipe" });
const write = (name: string, content: string) => writeFileSync(join(repository, name), content);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-workspace-"));
  repository = join(directory, "project");
  mkdirSync(join(repository, "sub dir"), { recursive: true });
  git("init", "-q");
  write(".gitignore", "*.log\n");
  write("committed.txt", "old");
  write("gone.txt", "");
  write("-dash'quote\nline", "odd name");
  write("sub dir/tool.sh", "#!/bin/sh\n");
  chmodSync(join(repository, "sub dir/tool.sh"), 0o755);
  symlinkSync("committed.txt", join(repository, "link"));
  writeFileSync(Buffer.concat([Buffer.from(`${repository}/latin-`), Buffer.from([0xe9])]), "bytes");
  git("add", "-A");
  git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x");
  write("committed.txt", "dirty");
  write("staged.txt", "staged");
  git("add", "staged.txt");
  rmSync(join(repository, "gone.txt"));
  write("untracked.env", "SECRET=1");
  write("ignored.log", "noise");
});
afterEach(() => rmSync(directory, { recursive: true }));

test("tracked files as they are now; never ignored, untracked or deleted ones", async () => {
  const found = await inspectRepository(join(repository, "sub dir"), { signal });
  assert.equal(found.name, "project");
  assert.equal(found.subdirectory, "sub dir");
  assert.equal(found.untracked, 1);
  assert.deepEqual(
    found.files.map((name) => name.toString("latin1")).toSorted(),
    [
      "-dash'quote\nline",
      ".gitignore",
      "committed.txt",
      "latin-\xe9",
      "link",
      "staged.txt",
      "sub dir/tool.sh",
    ].toSorted(),
  );
});

test("a hostile repository ships no file of this host", async () => {
  const home = join(directory, "home");
  mkdirSync(home);
  writeFileSync(join(home, "id_ed25519"), "secret");
  const listed = async () => (await inspectRepository(repository, { signal })).files.map(String);
  // The index names a file below what is a link by now.
  mkdirSync(join(repository, "keys"));
  write("keys/id_ed25519", "decoy");
  git("add", "keys/id_ed25519");
  rmSync(join(repository, "keys"), { recursive: true });
  symlinkSync(home, join(repository, "keys"));
  assert.deepEqual(
    (await listed()).filter((name) => name.startsWith("keys")),
    [],
  );
  // The configuration names another directory as the work tree.
  git("config", "core.worktree", directory);
  await assert.rejects(listed(), { code: "workspace.not-a-repository", message: /core\.worktree/ });
});

test("a linked work tree is a repository", async () => {
  git("worktree", "add", "-q", join(directory, "linked"), "HEAD");
  const found = await inspectRepository(join(directory, "linked"), { signal });
  assert.equal(found.name, "linked");
  assert.ok(found.files.map(String).includes("committed.txt"));
});

test("what is shipped unpacks to the same files", async () => {
  const target = join(directory, "target");
  mkdirSync(target);
  const found = await inspectRepository(repository, { signal });
  const unpack = (_directory: string, tar: Readable) => run({ file: "tar", args: ["-x", "-C", target], input: tar });
  await shipRepository(found, "/root/repo", unpack, quietProgress(signal));
  assert.equal(readFileSync(join(target, "committed.txt"), "utf8"), "dirty");
  assert.equal(readFileSync(join(target, "-dash'quote\nline"), "utf8"), "odd name");
  assert.equal(readlinkSync(join(target, "link")), "committed.txt");
  assert.equal(lstatSync(join(target, "sub dir/tool.sh")).mode & 0o777, 0o755);
  assert.equal(lstatSync(join(target, "untracked.env"), { throwIfNoEntry: false }), undefined);
});

test("a guest that stops reading is the error that is told", async () => {
  const found = await inspectRepository(repository, { signal });
  const unpack = async () => {
    throw new BangerError("guest.unreachable", "the guest is gone");
  };
  await assert.rejects(shipRepository(found, "/root/repo", unpack, quietProgress(signal)), {
    code: "guest.unreachable",
  });
});

test("what is not a work tree is refused with a way on", async () => {
  await assert.rejects(inspectRepository(directory, { signal }), {
    code: "workspace.not-a-repository",
    hint: /git -C .* init/,
  });
  await assert.rejects(inspectRepository(join(directory, "missing"), { signal }), {
    code: "workspace.not-a-repository",
    hint: /^banger vm run -- missing /,
  });
  await assert.rejects(inspectRepository(join(repository, "committed.txt"), { signal }), {
    code: "workspace.not-a-repository",
  });
  const bare = join(directory, "bare.git");
  execFileSync("git", ["init", "-q", "--bare", bare]);
  await assert.rejects(inspectRepository(bare, { signal }), { code: "workspace.not-a-repository", message: /bare/ });
});
