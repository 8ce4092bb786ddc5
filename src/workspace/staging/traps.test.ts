// A repository, a home and nested repositories full of things that git could be made to run, or that lie elsewhere on this host.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { inspect, plan } from "../plan.ts";
import { openSource } from "../source/source.ts";
import { HostSide } from "../sync.ts";
import { makeShipment } from "./shipment.ts";

const signal = new AbortController().signal;
const home = process.env["HOME"];
let directory: string;
let repository: string;
let canary: string;
let count = 0;
const git = (...args: string[]) =>
  execFileSync("git", ["-C", repository, "-c", "user.name=t", "-c", "user.email=t@t", ...args], {
    stdio: "pipe",
    encoding: "utf8",
    env: { ...process.env, HOME: directory },
  });
const write = (name: string, content: string) => writeFileSync(join(repository, name), content);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-traps-"));
  repository = join(directory, "project");
  canary = join(directory, "canary");
  mkdirSync(repository);
  git("init", "-q", "--initial-branch", "main");
});
afterEach(() => {
  process.env["HOME"] = home;
  rmSync(directory, { recursive: true });
});

const scratch = () => {
  const path = join(directory, `scratch-${(count += 1)}`);
  mkdirSync(path);
  return path;
};

/** A program that leaves a mark when it is run, and passes its input on. */
function trap(name: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\necho "${name} $*" >> ${canary}\nexec cat\n`, { mode: 0o755 });
  return path;
}

const trapConfig = (name: string) => `
[core]
  fsmonitor = ${trap(`${name}-fsmonitor`)}
  sshCommand = ${trap(`${name}-ssh`)}
  pager = ${trap(`${name}-pager`)}
  editor = ${trap(`${name}-editor`)}
  askPass = ${trap(`${name}-askpass`)}
  untrackedCache = true
[filter "evil"]
  clean = ${trap(`${name}-clean`)}
  smudge = ${trap(`${name}-smudge`)}
  required = true
[filter "worse"]
  process = ${trap(`${name}-process`)}
  required = true
[diff "evil"]
  textconv = ${trap(`${name}-textconv`)}
  command = ${trap(`${name}-diff`)}
[diff]
  external = ${trap(`${name}-external`)}
[uploadpack]
  packObjectsHook = ${trap(`${name}-pack`)}
[credential]
  helper = !${trap(`${name}-credential`)}
[alias]
  ls-files = !${trap(`${name}-alias`)}
[gpg]
  program = ${trap(`${name}-gpg`)}
[remote "origin"]
  url = ext::${trap(`${name}-ext`)}
  promisor = true
  partialclonefilter = blob:none
`;

function layTraps(gitDir: string): void {
  for (const hook of [
    "post-index-change",
    "pre-commit",
    "post-checkout",
    "fsmonitor-watchman",
    "reference-transaction",
  ]) {
    mkdirSync(join(gitDir, "hooks"), { recursive: true });
    writeFileSync(join(gitDir, "hooks", hook), `#!/bin/sh\necho "hook ${hook}" >> ${canary}\n`, { mode: 0o755 });
  }
  writeFileSync(join(gitDir, "config"), trapConfig("repo"), { flag: "a" });
}

test("nothing that a repository or a user has configured is run", async () => {
  write(".gitattributes", "* filter=evil diff=evil\n*.bin filter=worse\n");
  write("one", "1\n");
  write("two.bin", "2\n");
  mkdirSync(join(repository, "dir"));
  write("dir/three", "3\n");
  git("add", "-A");
  git("commit", "-qm", "all");
  git("commit", "-qm", "again", "--allow-empty");
  layTraps(join(repository, ".git"));
  writeFileSync(join(directory, ".gitconfig"), trapConfig("home"));
  process.env["HOME"] = directory;
  // An embedded repository with traps of its own, and files as young as the index, which git reads again.
  const nested = join(repository, "nested");
  execFileSync("git", ["init", "-q", nested], { env: { PATH: process.env["PATH"], HOME: "/nonexistent" } });
  writeFileSync(join(nested, "file"), "x");
  layTraps(join(nested, ".git"));
  const now = new Date();
  for (const name of ["one", "two.bin", ".git/index"]) utimesSync(join(repository, name), now, now);
  write("dir/three", "4\n");
  write("untracked", "u");
  rmSync(canary, { force: true });

  const source = await openSource(repository, { signal });
  for (const mode of ["shallow", "full", "metadata-only", "copy"] as const) {
    const request = { mode, includeUntracked: mode !== "metadata-only" };
    await inspect(source, scratch(), request, { signal });
    await plan(source, scratch(), request, { signal });
    const kept = scratch();
    const made = await makeShipment(source, kept, request, { signal });
    if (mode === "metadata-only") continue;
    await HostSide.begin(kept, made, { signal });
    write("one", `changed in mode ${mode}\n`);
    const found = await new HostSide(kept, repository, { includeUntracked: true }).look(made.baseTree, { signal });
    assert.deepEqual(
      found.changes.map(({ path }) => path.toString()),
      ["one"],
    );
  }
  await makeShipment(
    source,
    scratch(),
    { mode: "shallow", includeUntracked: false, branch: "b", from: "HEAD~1" },
    { signal },
  );
  assert.equal(existsSync(canary), false, "something was run");
  // The traps do snap: git by itself runs them.
  spawnSync("git", ["-C", repository, "status"], { stdio: "ignore", env: { ...process.env, HOME: directory } });
  assert.equal(existsSync(canary), true);
});

test("a hostile repository ships no file of this host", async () => {
  const secrets = join(directory, "secrets");
  mkdirSync(secrets);
  writeFileSync(join(secrets, "id_ed25519"), "secret");
  const listed = async () =>
    (
      await makeShipment(
        await openSource(repository, { signal }),
        scratch(),
        { mode: "shallow", includeUntracked: true },
        { signal },
      )
    ).files.map(String);
  // The index names a file below what is a link by now.
  mkdirSync(join(repository, "keys"));
  write("keys/id_ed25519", "decoy");
  git("add", "keys/id_ed25519");
  git("commit", "-qm", "k");
  rmSync(join(repository, "keys"), { recursive: true });
  symlinkSync(secrets, join(repository, "keys"));
  assert.deepEqual(
    (await listed()).filter((name) => name.startsWith("keys/")),
    [],
  );
  // The configuration names another directory as the work tree.
  git("config", "core.worktree", directory);
  await assert.rejects(listed(), { code: "workspace.not-a-repository", message: /core\.worktree/ });
});
