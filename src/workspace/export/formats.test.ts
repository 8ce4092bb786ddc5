// Patch, diff, bundle and branch of one guest, onto a host whose configuration is full of commands: none of them runs.
import assert from "node:assert/strict";
import {
  chmodSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { afterEach, beforeEach, test } from "node:test";
import type { Writable } from "node:stream";
import { applyChanges } from "../apply/apply.ts";
import { makeBranch } from "../apply/branch.ts";
import { hostIdentity } from "../apply/host-repository.ts";
import { signal, TwoSides } from "../testdata/two-sides.ts";
import { commitOf, writeBundle, writeDiff, writePatch } from "./formats.ts";
import { checkCommits } from "./guest-state.ts";
import { fileStats } from "./stat.ts";

let sides: TwoSides;
beforeEach(() => {
  sides = new TwoSides((host) => {
    writeFileSync(join(host, "text"), "one\ntwo\nthree\n");
    writeFileSync(join(host, "binary"), Buffer.from([0, 1, 2]));
    writeFileSync(join(host, "tool"), "#!/bin/sh\nexit 0\n");
  });
});
afterEach(() => sides[Symbol.dispose]());

/** Every setting of a repository that makes git start a command, each leaving a trace. */
function setTraps(): string {
  const traces = join(sides.directory, "traces");
  mkdirSync(traces);
  const command = (name: string) => {
    const file = join(sides.directory, `trap-${name}`);
    writeFileSync(file, `#!/bin/sh\ntouch ${traces}/${name}\ncat\n`);
    chmodSync(file, 0o755);
    return file;
  };
  const settings: Record<string, string> = {
    "core.fsmonitor": command("fsmonitor"),
    "core.editor": command("editor"),
    "core.pager": command("pager"),
    "core.sshCommand": command("ssh"),
    "core.askPass": command("askpass"),
    "core.alternateRefsCommand": command("alternates"),
    "filter.trap.clean": command("clean"),
    "filter.trap.smudge": command("smudge"),
    "filter.trap.process": command("process"),
    "diff.external": command("external"),
    "diff.trap.textconv": command("textconv"),
    "diff.trap.command": command("diff"),
    "merge.trap.driver": `${command("merge")} %O %A %B`,
    "merge.default": "trap",
    "gpg.program": command("gpg"),
    "commit.gpgSign": "true",
    "uploadpack.packObjectsHook": command("packhook"),
    "credential.helper": command("credential"),
    "trailer.x.command": command("trailer"),
  };
  for (const [key, value] of Object.entries(settings)) sides.gitOf(sides.host, "config", key, value);
  for (const hook of [
    "reference-transaction",
    "post-index-change",
    "pre-commit",
    "post-checkout",
    "post-merge",
    "post-rewrite",
    "pre-auto-gc",
    "post-commit",
    "applypatch-msg",
    "pre-receive",
    "update",
    "post-receive",
    "post-update",
  ]) {
    symlinkSync(command(`hook-${hook}`), join(sides.host, ".git/hooks", hook));
  }
  writeFileSync(join(sides.host, ".git/info/attributes"), "* filter=trap diff=trap merge=trap\n");
  return traces;
}

test("patch, diff, bundle, branch and work tree; no command of the host is started for what a guest sent", async () => {
  sides.ship();
  sides.write("guest", ".gitattributes", "* filter=trap diff=trap merge=trap text eol=crlf\n");
  sides.write("guest", "text", "one\nTWO\nthree\n$Id$\n");
  sides.gitOf(sides.guest, "add", "-A");
  sides.gitOf(sides.guest, "commit", "-qm", "in the guest");
  sides.write("guest", "binary", Buffer.from([0, 9, 9]));
  sides.gitOf(sides.guest, "mv", "tool", "renamed");
  chmodSync(join(sides.guest, "renamed"), 0o755);
  rmSync(join(sides.guest, ".gitattributes"));
  sides.write("guest", "\u001b[31m.txt", "escape\n");
  const reference = (() => {
    sides.gitOf(sides.guest, "add", "-A");
    return sides.gitOf(sides.guest, "write-tree");
  })();
  sides.write("guest", ".gitattributes", "* filter=trap diff=trap merge=trap text eol=crlf\n");
  sides.write("host", "text", "zero\none\ntwo\nthree\n");
  const traces = setTraps();
  await using quarantine = await sides.quarantine();
  const state = await sides.fetch(quarantine);
  await checkCommits(quarantine, state, signal);
  const file = async (name: string, write: (to: Writable) => Promise<void>) => {
    const to = createWriteStream(join(sides.directory, name));
    await Promise.all([write(to), finished(to)]);
    return join(sides.directory, name);
  };
  const patch = await file("patch", (to) => writePatch(quarantine, state, to, signal));
  const diff = await file("diff", (to) => writeDiff(quarantine, state, to, signal));
  const stats = await fileStats(quarantine, state.baseTree, state.tree, signal);
  assert.deepEqual(
    stats.map(({ path, from, kind, added, removed }) => [path, from, kind, added, removed]),
    [
      [".gitattributes", null, "added", 1, 0],
      ["\u001b[31m.txt", null, "added", 1, 0],
      ["binary", null, "changed", null, null],
      ["renamed", "tool", "renamed", 0, 0],
      ["text", null, "changed", 2, 1],
    ].toSorted(([one], [other]) => (String(one) < String(other) ? -1 : 1)),
  );
  assert.match(readFileSync(diff, "utf8"), /Binary files a\/binary and b\/binary differ/);
  const repository = await sides.repository();
  const identity = await hostIdentity(repository.root, signal);
  const commit = await commitOf(quarantine, state, { message: "the rest", ...identity }, signal);
  const bundle = await file("bundle", (to) =>
    writeBundle(quarantine, { branch: "topic", commit, start: state.start }, to, signal),
  );
  const branch = { quarantine, repository, branch: "from/guest", commit, start: state.start, signal };
  assert.deepEqual(await makeBranch({ ...branch, check: true }), { commits: 2 });
  assert.deepEqual(await makeBranch({ ...branch, check: false }), { commits: 2 });
  await assert.rejects(makeBranch({ ...branch, commit: String(state.start), check: true }), {
    code: "workspace.conflict",
  });
  const applied = await applyChanges({
    quarantine,
    changes: state.changes,
    repository,
    journalDirectory: join(sides.directory, "journal"),
    check: false,
    signal,
  });
  assert.deepEqual(applied.conflicts, []);
  assert.equal(readFileSync(join(sides.host, "text"), "utf8"), "zero\none\nTWO\nthree\n$Id$\n");
  assert.deepEqual(existsSync(traces) && (await import("node:fs")).readdirSync(traces), []);

  // The outputs are what they claim to be, for a git without traps.
  const clean = join(sides.directory, "clean");
  sides.gitOf(sides.directory, "clone", "-q", "-n", "--no-local", "-c", "core.hooksPath=/dev/null", sides.guest, clean);
  sides.gitOf(clean, "reset", "-q", "--hard", String(state.start));
  sides.gitOf(clean, "apply", "--index", patch);
  assert.equal(sides.gitOf(clean, "write-tree"), state.tree);
  sides.gitOf(clean, "fetch", "-q", bundle, "topic:topic");
  assert.equal(sides.gitOf(clean, "rev-parse", "topic"), commit);
  assert.equal(sides.gitOf(clean, "rev-parse", "topic^{tree}"), state.tree);
  assert.notEqual(state.tree, reference);
  assert.equal(sides.gitOf(clean, "log", "--format=%s", `${state.start}..topic`), "the rest\nin the guest");
  assert.equal(sides.gitOf(sides.host, "rev-parse", "from/guest"), commit);
  sides.gitOf(sides.host, "-c", "core.fsmonitor=false", "fsck", "--full", "--strict");
});

test("a base that the guest names", async () => {
  sides.ship();
  sides.write("guest", "first", "1");
  sides.gitOf(sides.guest, "add", "-A");
  sides.gitOf(sides.guest, "commit", "-qm", "in the guest");
  sides.write("guest", "second", "2");
  await using quarantine = await sides.quarantine();
  const names = async (base?: string) =>
    (await sides.fetch(quarantine, base === undefined ? {} : { base })).changes.map(({ path }) => String(path));
  assert.deepEqual(await names(), ["first", "second"]);
  assert.deepEqual(await names("HEAD"), ["second"]);
  assert.deepEqual(await names("HEAD~1"), ["first", "second"]);
  await assert.rejects(names("nowhere"), { code: "workspace.failed", message: /no commit "nowhere"/ });
  await assert.rejects(names("--output=/tmp/x"), { code: "usage" });
});

test("files that the guest never got are not deleted, until it has checked them out", async () => {
  sides.ship();
  for (const name of ["text", "binary", "tool"]) rmSync(join(sides.guest, name));
  sides.write("guest", "new", "1");
  await using quarantine = await sides.quarantine();
  const workspace = { mode: "metadata-only" } as const;
  const first = await sides.fetch(quarantine, { workspace });
  assert.deepEqual(
    first.changes.map(({ path }) => String(path)),
    ["new"],
  );
  const stats = await fileStats(quarantine, first.baseTree, first.tree, signal);
  assert.deepEqual(
    stats.map(({ path, kind }) => [path, kind]),
    [["new", "added"]],
  );
  sides.gitOf(sides.guest, "checkout", "-q", "-f", "HEAD");
  rmSync(join(sides.guest, "text"));
  const second = await sides.fetch(quarantine, { workspace });
  assert.deepEqual(
    second.changes.map(({ path }) => String(path)),
    ["new", "text"],
  );
});

test("files without a repository in the guest", async () => {
  sides.ship();
  rmSync(join(sides.guest, ".git"), { recursive: true });
  sides.write("guest", "text", "changed\n");
  await using quarantine = await sides.quarantine();
  await assert.rejects(sides.fetch(quarantine), { code: "workspace.failed", message: /not a git repository any more/ });
  const copy = { mode: "copy", baseTree: null } as const;
  await assert.rejects(sides.fetch(quarantine, { base: "HEAD", workspace: copy }), {
    message: /no commits.*mode copy/,
  });
  const state = await sides.fetch(quarantine, { workspace: copy });
  assert.deepEqual(
    state.changes.map(({ path }) => String(path)),
    ["text"],
  );
});
