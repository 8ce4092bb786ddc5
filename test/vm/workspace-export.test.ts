// Whatever is done to a repository in a VM comes out as it is there: as files, as a patch, as a bundle, as a branch. Random work from
// seeds; a failure names its seed.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Home, smallVm } from "../support/home.ts";
import { firstFiles, randomEdits } from "../support/random-edits.ts";

const batches = 4;
const perBatch = 52;
const given = process.env["FUZZ_SEED"];
const firstSeed = given === undefined ? 1 + (Date.now() % 1_000_000) : Number(given);
const seeds = Array.from({ length: batches * perBatch }, (_, at) => firstSeed + at);

describe(`what a guest changed comes back (seeds from ${firstSeed})`, { concurrency: false }, () => {
  let home: Home;
  let directory: string;
  let host: string;
  /** What the guest's files are made to be. */
  let work: string;
  const git = (where: string, ...args: string[]) =>
    execFileSync("git", ["-C", where, "-c", "user.name=t", "-c", "user.email=t@t", ...args], {
      encoding: "latin1",
      maxBuffer: 1 << 28,
      stdio: ["ignore", "pipe", "pipe"],
    }).trimEnd();
  /** Top-level entry -> what it is, of all files of a work tree that git does not ignore. The repository is not changed. */
  const entries = (where: string): Map<string, string> => {
    const index = join(directory, "index");
    cpSync(join(where, ".git/index"), index);
    const env = { ...process.env, GIT_INDEX_FILE: index };
    execFileSync("git", ["-C", where, "add", "-A"], { env, stdio: "pipe" });
    const tree = execFileSync("git", ["-C", where, "write-tree"], { env, encoding: "utf8" }).trim();
    return entriesOf(git(where, "ls-tree", tree));
  };
  const entriesOf = (listed: string) =>
    new Map(
      listed
        .trimEnd()
        .split("\n")
        .map((line) => [line.slice(line.indexOf("\t") + 1), line.slice(0, line.indexOf("\t"))]),
    );
  const guest = async (script: Buffer | string) =>
    (await home.ok(["vm", "exec", "box", "--", "sh", "-s"], { stdin: script })).stdout;
  /** The same of the guest's. */
  const guestEntries = async () =>
    entriesOf(
      await guest(`cp -p .git/index .git/check; export GIT_INDEX_FILE=$PWD/.git/check
git add -A 2>/dev/null; git ls-tree $(git write-tree); rm .git/check\n`),
    );
  const differing = (one: Map<string, string>, other: Map<string, string>) =>
    [...new Set([...one.keys(), ...other.keys()])].filter((name) => one.get(name) !== other.get(name));

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-export-"));
    host = join(directory, "repo");
    mkdirSync(host);
    git(host, "init", "-q", "-b", "main");
    writeFileSync(join(host, ".gitignore"), "*.ignored\n");
    writeFileSync(join(host, "dirty"), "one\ntwo\nthree\n");
    mkdirSync(join(host, "hosts"));
    writeFileSync(join(host, "hosts/own"), "as it was shipped\n");
    work = join(directory, "work");
    for (const seed of seeds) {
      const name = `seed-${seed}`;
      mkdirSync(join(work, name), { recursive: true });
      firstFiles(seed, join(work, name));
      cpSync(join(work, name), join(host, name), { recursive: true, verbatimSymlinks: true });
    }
    git(host, "add", "-A");
    git(host, "commit", "-qm", "first");
    writeFileSync(join(host, "dirty"), "one\nTWO, not committed\nthree\n");
    home = new Home({ seeded: true });
    await home.ok(["vm", "run", "--name", "box", "--detach", ...smallVm, host]);
    await guest("git config user.name guest; git config user.email guest@guest\n");
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await home[Symbol.asyncDispose]();
  });

  test("files: applied again and again, the work trees are equal each time, and nothing else moved", async () => {
    writeFileSync(join(host, "hosts/own"), "changed on the host since\n");
    for (let batch = 0; batch < batches; batch++) {
      const now = seeds.slice(batch * perBatch, (batch + 1) * perBatch);
      for (const part of [0, 1]) {
        const edited = now
          .filter((seed) => part === 0 || seed % 3 !== 0)
          .map((seed) => ({ seed, name: `seed-${seed}` }));
        for (const { seed, name } of edited) randomEdits(seed, part, join(work, name));
        const tar = execFileSync("tar", ["-C", work, "-c", ...edited.map(({ name }) => name)], { maxBuffer: 1 << 28 });
        const commit = part === 0 ? "git add -A; git commit -qm 'in the guest'" : "git add seed-*[02468]";
        const replace = `rm -r ${edited.map(({ name }) => name).join(" ")}; tar -x; ${commit}`;
        await home.ok(["vm", "exec", "box", "--", "sh", "-c", replace], { stdin: tar });
      }
      const state = "git status --porcelain=v2 --branch; git rev-parse HEAD; git stash list; ls -A .git | sort\n";
      const before = await guest(state);
      await home.ok(["vm", "workspace", "export", "box", "--apply"]);
      assert.equal(await guest(state), before, `the guest's repository was touched (seeds ${now[0]} to ${now.at(-1)})`);
      const different = differing(entries(host), await guestEntries());
      assert.deepEqual(different, ["hosts"], `FUZZ_SEED=${firstSeed}: ${different.join(", ")} came out otherwise`);
    }
    assert.equal(readFileSync(join(host, "hosts/own"), "utf8"), "changed on the host since\n");
    assert.equal(git(host, "diff", "--cached", "--name-only"), "", "nothing was staged");
    assert.equal(git(host, "rev-list", "--count", "HEAD"), "1");
    const ignored = git(host, "ls-files", "--others", "--ignored", "--exclude-standard");
    assert.equal(ignored, "", "ignored files stay in the guest");
  });

  test("a patch, a bundle and a branch hold the same", async () => {
    const expected = await guestEntries();
    const clone = join(directory, "clone");
    git(directory, "clone", "-q", "--no-local", host, clone);
    writeFileSync(join(clone, "dirty"), "one\nTWO, not committed\nthree\n");
    const patch = join(directory, "box.patch");
    await home.ok(["vm", "workspace", "export", "box", "-o", patch]);
    git(clone, "apply", "--whitespace=nowarn", patch);
    assert.deepEqual(differing(entries(clone), expected), [], `patch (FUZZ_SEED=${firstSeed})`);
    assert.equal((await home.ok(["vm", "workspace", "export", "box"])).stdout, readFileSync(patch, "utf8"));

    const bundle = join(directory, "box.bundle");
    await home.ok(["vm", "workspace", "export", "box", "--format", "bundle", "--branch", "out", "-o", bundle]);
    git(clone, "fetch", "-q", bundle, "out:out");
    assert.deepEqual(
      differing(entriesOf(git(clone, "ls-tree", "out")), expected),
      [],
      `bundle (FUZZ_SEED=${firstSeed})`,
    );

    const before = git(host, "status", "--porcelain");
    const branch = await home.ok(["vm", "workspace", "export", "box", "--format", "branch", "--branch", "from/box"]);
    assert.equal(branch.stdout, "from/box\n");
    assert.deepEqual(differing(entriesOf(git(host, "ls-tree", "from/box")), expected), []);
    assert.equal(git(host, "status", "--porcelain"), before);
    const made = (await guest("git rev-list --count HEAD\n")).trim();
    assert.equal(git(host, "rev-list", "--count", "from/box"), String(Number(made) + 1));
    git(host, "fsck", "--strict", "--no-dangling");
  });

  test("submodules, in mode copy: into their files and into a patch, never into a commit, and that is told", async () => {
    const inner = join(directory, "inner");
    const outer = join(directory, "outer");
    for (const path of [inner, outer]) git(directory, "init", "-q", "-b", "main", path);
    writeFileSync(join(inner, "lib"), "one\n");
    git(inner, "add", "-A");
    git(inner, "commit", "-qm", "inner");
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner, "mod");
    git(outer, "commit", "-qm", "outer");
    writeFileSync(join(outer, "mod/lib"), "one, changed on the host\n");
    const planned = await home.ok(["vm", "run", "--dry-run", "--mode", "copy", outer]);
    assert.equal(planned.stdout, "  .gitmodules\n  mod/lib\n");
    await home.ok(["vm", "workspace", "prepare", "box", outer, "--mode", "copy", "--guest-path", "/root/outer"]);
    await guest("echo two >>mod/lib; echo new >mod/new\n");
    const shown = await home.json<{ submodules: unknown }>(["vm", "workspace", "export", "box"]);
    assert.deepEqual(shown.submodules, [{ path: "mod", files: 2 }]);
    const only = await home.run(["vm", "workspace", "export", "box", "--apply", "--branch", "out"]);
    assert.match(only.stderr, /all that "box" changed lies in submodules \("mod"\)[^]*hint: .*--apply/);
    await guest("echo top >top\n");
    const branch = await home.ok(["vm", "workspace", "export", "box", "--apply", "--branch", "out"]);
    assert.match(branch.stderr, /left out: 2 files of the submodule "mod"/);
    assert.equal(git(outer, "diff", "--name-status", "main", "out"), "A\ttop");
    const patch = (await home.ok(["vm", "workspace", "export", "box"])).stdout;
    execFileSync("git", ["-C", outer, "apply", "--check"], { input: patch });
    await home.ok(["vm", "workspace", "export", "box", "--apply"]);
    assert.equal(readFileSync(join(outer, "mod/lib"), "utf8"), "one, changed on the host\ntwo\n");
    assert.equal(git(join(outer, "mod"), "status", "--porcelain"), " M lib\n?? new");
  });
});
