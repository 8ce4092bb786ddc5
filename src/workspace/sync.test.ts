// What of the host's changes a sync finds, and that it finds them again until they are in.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { openSource } from "./source/source.ts";
import { makeShipment } from "./staging/shipment.ts";
import { HostSide } from "./sync.ts";

const signal = new AbortController().signal;
let directory: string;
let repository: string;
let kept: string;
const git = (...args: string[]) =>
  execFileSync("git", ["-C", repository, ...args], { stdio: "pipe", encoding: "utf8" });
const write = (name: string, content: string) => writeFileSync(join(repository, name), content);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-sync-"));
  repository = join(directory, "repo");
  kept = join(directory, "kept");
  mkdirSync(kept);
  mkdirSync(join(repository, "dir"), { recursive: true });
  git("init", "-q");
  write(".gitignore", "*.log\n");
  for (const name of ["edited", "gone", "mode", "becomes-link", "dir/becomes-file", "becomes-dir"]) write(name, name);
  git("add", "-A");
  git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x");
});
afterEach(() => rmSync(directory, { recursive: true }));

async function begun(includeUntracked = false) {
  const source = await openSource(repository, { signal });
  const made = await makeShipment(source, kept, { mode: "shallow", includeUntracked }, { signal });
  await HostSide.begin(kept, made, { signal });
  let tree = made.baseTree;
  const look = async () => {
    const host = new HostSide(kept, repository, { includeUntracked });
    const found = await host.look(tree, { signal });
    const text = found.changes.map(
      ({ path, oldMode, newMode }) => `${path.toString()} ${oldMode.toString(8)} ${newMode.toString(8)}`,
    );
    return {
      text: text.toSorted(),
      found,
      host,
      async keep(unsure: string[] = []) {
        await host.keep(unsure);
        tree = found.tree;
      },
    };
  };
  return look;
}

test("every kind of change is found, until it is kept", async () => {
  const look = await begun();
  assert.deepEqual((await look()).text, []);
  write("edited", "now");
  rmSync(join(repository, "gone"));
  chmodSync(join(repository, "mode"), 0o755);
  rmSync(join(repository, "becomes-link"));
  symlinkSync("edited", join(repository, "becomes-link"));
  rmSync(join(repository, "dir"), { recursive: true });
  write("dir", "a file");
  git("add", "dir");
  rmSync(join(repository, "becomes-dir"));
  mkdirSync(join(repository, "becomes-dir"));
  write("becomes-dir/new", "deep");
  write("untracked", "stays here");
  write("noise.log", "never");
  git("add", "becomes-dir/new");
  const expected = [
    "becomes-dir 100644 0",
    "becomes-dir/new 0 100644",
    "becomes-link 100644 120000",
    "dir 0 100644",
    "dir/becomes-file 100644 0",
    "edited 100644 100644",
    "gone 100644 0",
    "mode 100644 100755",
  ];
  assert.deepEqual((await look()).text, expected);
  const second = await look();
  assert.deepEqual(second.text, expected);
  const out = await second.host.forGuest(second.found, { signal });
  const env = { ...process.env, GIT_OBJECT_DIRECTORY: join(out, ".git/objects") };
  const listed = execFileSync(
    "git",
    ["-C", repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)"],
    { env },
  );
  assert.deepEqual(listed.toString().trim().split("\n"), second.found.objects.toSorted());
  await second.keep();
  assert.deepEqual((await look()).text, []);
  // A rename that git is told of, and one file less that it knows.
  renameSync(join(repository, "edited"), join(repository, "moved"));
  git("add", "-A", "edited", "moved");
  git("rm", "-q", "--cached", "mode");
  const third = await look();
  assert.deepEqual(third.text, ["edited 100644 0", "mode 100755 0", "moved 0 100644"]);
  // What the guest has changed itself stays as it was shipped.
  const changes = third.found.changes.filter(({ path }) => path.toString() === "edited");
  const rest = await third.host.without(changes, second.found.tree, { signal });
  assert.deepEqual(
    rest.changes.map(({ path }) => path.toString()),
    ["mode", "moved"],
  );
  assert.equal(git("ls-files", "--", "edited"), "");
});

test("a tracked file that was not there comes when it is there again", async () => {
  rmSync(join(repository, "gone"));
  const look = await begun();
  assert.deepEqual((await look()).text, []);
  write("gone", "back");
  const back = await look();
  assert.deepEqual(back.text, ["gone 0 100644"]);
  await back.keep();
  rmSync(join(repository, "gone"));
  const gone = await look();
  assert.deepEqual(gone.text, ["gone 100644 0"]);
  await gone.keep();
  assert.deepEqual((await look()).text, []);
  write("gone", "once more");
  assert.deepEqual((await look()).text, ["gone 0 100644"]);
});

test("after the VM went back, the files are compared with what it has", async () => {
  const look = await begun();
  write("edited", "now");
  const first = await look();
  await first.keep();
  const again = new HostSide(kept, repository, { includeUntracked: false });
  const back = await again.look(git("rev-parse", "HEAD^{tree}").trim(), { signal });
  assert.deepEqual(
    back.changes.map(({ path }) => path.toString()),
    ["edited"],
  );
  await assert.rejects(again.look("1".repeat(40), { signal }), { code: "workspace.none" });
});

test("a file that changed while it was sent is sent once more, also when it is again as it was", async () => {
  const look = await begun();
  write("edited", "one");
  const first = await look();
  assert.deepEqual(first.host.changedSince(first.found.changes), []);
  write("edited", "two, longer");
  assert.deepEqual(first.host.changedSince(first.found.changes), ["edited"]);
  await first.keep(["edited"]);
  const names = ({ found }: typeof first) =>
    found.again.map(({ path, oldId, newId }) => `${path.toString()} ${oldId === newId ? "as it was" : "changed"}`);
  const second = await look();
  assert.deepEqual([second.text, names(second)], [[], ["edited changed"]]);
  write("edited", "one");
  const third = await look();
  assert.deepEqual([third.text, names(third)], [[], ["edited as it was"]]);
  await third.keep();
  assert.deepEqual(names(await look()), []);
});

test("a file that was edited once is known when the index knows nothing of it: it changes again, goes, comes back", async () => {
  const look = await begun();
  const before = git("write-tree").trim();
  write("edited", "one");
  const first = await look();
  await first.keep();
  assert.deepEqual((await look()).text, []);
  write("edited", "two");
  write("dir/becomes-file", "too");
  const second = await look();
  assert.deepEqual(second.text, ["dir/becomes-file 100644 100644", "edited 100644 100644"]);
  await second.keep();
  // A file more, which goes through the index.
  write("mode", "mode");
  chmodSync(join(repository, "mode"), 0o755);
  const third = await look();
  assert.deepEqual(third.text, ["mode 100644 100755"]);
  await third.keep();
  write("edited", "three");
  await (await look()).keep();
  rmSync(join(repository, "edited"));
  const fourth = await look();
  assert.deepEqual(fourth.text, ["edited 100644 0"]);
  await fourth.keep();
  git("checkout", "-q", "--", "edited");
  write("dir/becomes-file", "dir/becomes-file");
  chmodSync(join(repository, "mode"), 0o644);
  const back = await look();
  assert.deepEqual(back.text, ["dir/becomes-file 100644 100644", "edited 0 100644", "mode 100755 100644"]);
  assert.equal(back.found.tree, before);
});

test("what the guest has changed, too, of edited files stays as it was shipped", async () => {
  const look = await begun();
  write("edited", "one");
  write("mode", "one");
  const first = await look();
  const rest = await first.host.without(
    first.found.changes.filter(({ path }) => path.toString() === "mode"),
    git("rev-parse", "HEAD^{tree}").trim(),
    { signal },
  );
  assert.deepEqual(
    rest.changes.map(({ path }) => path.toString()),
    ["edited"],
  );
});

test("a file that only got another time is no change", async () => {
  const look = await begun();
  write("edited", "edited");
  assert.deepEqual((await look()).text, []);
});

test("untracked files count where they were shipped, ignored ones never", async () => {
  write("first", "1");
  const look = await begun(true);
  assert.deepEqual((await look()).text, []);
  write("second", "2");
  rmSync(join(repository, "first"));
  write("noise.log", "never");
  assert.deepEqual((await look()).text, ["first 100644 0", "second 0 100644"]);
});
