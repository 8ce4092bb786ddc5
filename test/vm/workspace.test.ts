// Repositories in VMs, with real git on both sides: in, up to date, and what happens when something comes in between.
import assert from "node:assert/strict";
import { execFileSync, type ChildProcess } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import type { ResultOf } from "../../src/api/methods.ts";
import { Home } from "../support/home.ts";
import { smallMachine } from "../support/seed.ts";
import { until } from "../support/until.ts";

type Status = ResultOf<"workspace.status">;
const vm = [...smallMachine, "--disk-size", "1G", "--system-overlay-size", "256M"];

describe("workspaces", { concurrency: false }, () => {
  let home: Home;
  let directory: string;
  let repository: string;
  const git = (...args: string[]) =>
    execFileSync("git", ["-C", repository, "-c", "user.name=t", "-c", "user.email=t@t", ...args], {
      stdio: "pipe",
      encoding: "utf8",
    }).trim();
  const write = (name: string, content: string | Buffer) => writeFileSync(join(repository, name), content);
  const inVm = async (name: string, script: string) =>
    (await home.ok(["vm", "exec", "--workdir", "/root", name, "--", "sh", "-c", script])).stdout.trim();
  const inRepo = (name: string, script: string) => inVm(name, `cd /root/repo && ${script}`);
  const prepare = (name: string, ...more: string[]) => ["vm", "workspace", "prepare", name, repository, ...more];
  const status = (name: string) => home.json<Status>(["vm", "workspace", "status", name]);

  before(async () => {
    home = new Home({ seeded: true });
    await home.ok(["vm", "create", "--name", "box", ...vm]);
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "banger-workspace-"));
    repository = join(directory, "project");
    mkdirSync(join(repository, "sub dir"), { recursive: true });
    git("init", "-q", "--initial-branch", "main");
    write(".gitignore", "build/\n");
    write("kept", "1\n");
    write("gone", "");
    write('sub dir/it\'s "odd"\nname', "odd");
    write("tool", "#!/bin/sh\necho tool\n");
    chmodSync(join(repository, "tool"), 0o755);
    symlinkSync("kept", join(repository, "link"));
    writeFileSync(Buffer.concat([Buffer.from(`${repository}/latin-`), Buffer.from([0xe9])]), "bytes");
    git("add", "-A");
    git("commit", "-qm", "one");
    git("commit", "-qm", "two", "--allow-empty");
  });
  afterEach(async () => {
    rmSync(directory, { recursive: true });
    await inVm("box", "rm -rf /root/repo");
  });

  test("vm run: the guest's git sees what the host's sees, on a branch of its own", async () => {
    write("kept", "dirty\n");
    rmSync(join(repository, "gone"));
    write("staged", "s");
    git("add", "staged");
    const script =
      "pwd; git status --porcelain; git symbolic-ref HEAD; git rev-parse HEAD; git fsck --no-dangling; cat sub*/it*; ./tool; cat link; ls latin*";
    const flags = ["--rm", "--quiet", "--branch", "try", ...vm];
    const ran = await home.ok([
      "vm",
      "run",
      ...flags,
      join(repository, "sub dir"),
      "--",
      "sh",
      "-c",
      `cd ..; ${script}`,
    ]);
    const head = git("rev-parse", "HEAD");
    const state = "D gone\n M kept\nA  staged";
    assert.equal(git("status", "--porcelain"), state);
    assert.equal(
      ran.stdout.replace(/latin.*/, "latin").trim(),
      `/root/repo\n ${state}\nrefs/heads/try\n${head}\nodd#!/bin/sh`.replace("#!/bin/sh", "tool\ndirty\nlatin"),
    );
  });

  test("a dry run lists what goes and what stays, and makes no VM; flags without a repository are refused", async () => {
    write("untracked", "u");
    mkdirSync(join(repository, "build"));
    write("build/out", "o");
    write("kept", "dirty");
    rmSync(join(repository, "gone"));
    const ran = await home.ok(["vm", "run", "--dry-run", "--name", "never", repository]);
    assert.deepEqual(ran.stdout.split("\n").toSorted(), [
      "",
      "  .gitignore",
      "  latin-\\xe9",
      "  link@",
      '  sub dir/it\'s "odd"\\nname',
      "  tool*",
      "M kept",
    ]);
    assert.match(ran.stderr, /deleted on the host, so not in the VM: 1\n {2}gone\n/);
    assert.match(ran.stderr, /untracked, not shipped: 1\n {2}untracked\nignored, never shipped: 1\n {2}build\/\n/);
    const more = await home.ok(["vm", "run", "--dry-run", "--include-untracked", repository]);
    assert.match(more.stdout, /^\? untracked$/m);
    assert.deepEqual(
      (await home.vms()).map(({ name }) => name),
      ["box"],
    );
    const refused = await home.run(["vm", "run", "--branch", "x", "--", "true"]);
    assert.deepEqual([refused.code, /--branch: no path of a repository/.test(refused.stderr)], [2, true]);
  });

  test("prepare again: files that went are gone, what was built stays, work of the guest is never lost by itself", async () => {
    await home.ok(prepare("box"));
    await inRepo("box", "mkdir build && echo o > build/out && echo mine > notes");
    rmSync(join(repository, "gone"));
    git("commit", "-qam", "three");
    write("kept", "2\n");
    await home.ok(prepare("box"));
    assert.equal(
      await inRepo("box", "git rev-parse HEAD; cat kept build/out notes; ls -a /root | grep banger; ls"),
      [git("rev-parse", "HEAD"), "2", "o", "mine", "build", "kept", "latin-\xe9", "link", "notes", "sub dir", "tool"]
        .join("\n")
        .replace("latin-\xe9", "latin-\ufffd"),
    );
    // A changed file, a commit, and a new file where the host ships one now.
    await inRepo("box", "echo theirs > kept");
    assert.match(await refusal("box"), /1 file was changed in the guest \(kept\)/);
    await inRepo("box", "git -c user.name=g -c user.email=g@g commit -qam guest");
    assert.match(await refusal("box"), /git in the guest has new or moved refs\/heads\/main/);
    await inRepo("box", "git reset -q --hard HEAD~1 && echo 2 > kept");
    write("notes", "the host's");
    git("add", "notes");
    assert.match(await refusal("box"), /\(notes\)/);
    assert.equal(await inRepo("box", "cat notes"), "mine");
    await home.ok(prepare("box", "--force"));
    assert.equal(await inRepo("box", "cat notes build/out"), "the host'so");
    // What is left of one repository is none of another's work.
    const other = join(directory, "other");
    git("clone", "-q", repository, other);
    const mixed = await home.run(["vm", "workspace", "prepare", "box", other]);
    assert.match(mixed.stderr, /is the workspace of ".*project" \(workspace\.changed\)[^]*--guest-path \/root\/other/);
    await inRepo("box", "rm .git/banger/index && mkfifo .git/banger/index");
    assert.match((await home.run(prepare("box"))).stderr, /not what banger wrote[^]*hint: .* --force/);
    await home.ok(prepare("box", "--force"));
  });

  const refusal = async (name: string) => {
    const ran = await home.run(prepare(name));
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /workspace\.changed/);
    return ran.stderr;
  };

  test("sync brings what changed; what changed on both sides stays until it is the same or forced", async () => {
    await home.ok(prepare("box"));
    write("kept", "2\n");
    rmSync(join(repository, "gone"));
    mkdirSync(join(repository, "new dir"));
    write("new dir/new", "n");
    git("add", "new dir");
    write("untracked", "u");
    assert.match((await home.ok(["vm", "workspace", "sync", "box"])).stdout, /^2 written, 1 removed$/m);
    assert.equal(
      await inRepo(
        "box",
        "cat kept 'new dir/new'; ls; git diff --quiet refs/banger/base -- kept gone && git status --porcelain 'new dir'",
      ),
      '2\nnkept\nlatin-\ufffd\nlink\nnew dir\nsub dir\ntool\n?? "new dir/"',
    );
    assert.match((await home.ok(["vm", "workspace", "sync", "box"])).stdout, /^0 written, 0 removed$/m);
    await inRepo("box", "echo theirs > kept");
    write("kept", "ours\n");
    write("tool", "#!/bin/sh\n");
    const conflict = await home.ok(["vm", "workspace", "sync", "box"]);
    assert.match(conflict.stdout, /^1 written, 0 removed$/m);
    assert.match(conflict.stderr, /changed on both sides, the guest keeps its own: kept/);
    assert.equal(
      await inRepo("box", "cat kept; git diff --stat refs/banger/base -- kept | cat"),
      "theirs\n kept | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)",
    );
    const now = await status("box");
    assert.deepEqual([now.host.changed.paths, now.guest.changed.paths], [["kept"], ["kept"]]);
    await home.ok(["vm", "workspace", "sync", "box", "--force"]);
    assert.equal(await inRepo("box", "cat kept; git fsck --no-dangling"), "ours");
    assert.deepEqual((await status("box")).guest.changed.count, 0);
  });

  test("status counts commits on both sides, and says when the guest has no git or does not run", async () => {
    await home.ok(prepare("box"));
    git("commit", "-q", "--allow-empty", "-m", "three");
    git("commit", "-q", "--allow-empty", "-m", "four");
    await inRepo("box", "git -c user.name=g -c user.email=g@g commit -q --allow-empty -m guest");
    const both = await status("box");
    assert.deepEqual([both.host.ahead, both.host.behind, both.guest.commits, both.guest.branch], [2, 0, 1, "main"]);
    await inVm("box", "mv /usr/bin/git /usr/bin/git.away");
    const without = await home.ok(["vm", "workspace", "status", "box"]);
    assert.match(without.stdout, /host: {2}main at [0-9a-f]{12} \(2 new commits since\)/);
    assert.match(without.stdout, /guest: main at [0-9a-f]{12} \(the guest has no git/);
    // It needs none for what goes in.
    await home.ok(prepare("box", "--force"));
    await inVm("box", "mv /usr/bin/git.away /usr/bin/git");
    assert.equal(await inRepo("box", "git rev-parse HEAD"), git("rev-parse", "HEAD"));
  });

  test("watch syncs after each save, and ends with Ctrl-C", async () => {
    await home.ok(prepare("box"));
    const watching = home.start(["vm", "workspace", "sync", "box", "--watch"]);
    const lines = follow(watching);
    await lines.until(/^0 written, 0 removed$/m);
    write("kept", "watched\n");
    await lines.until(/^1 written, 0 removed$/m);
    assert.equal(await inRepo("box", "cat kept"), "watched");
    mkdirSync(join(repository, "deep/er"), { recursive: true });
    write("deep/er/file", "x");
    git("add", "deep");
    await lines.until(/1 written[^]*1 written/);
    write("deep/er/file", "y");
    await lines.until(/1 written[^]*1 written[^]*1 written/);
    assert.equal(await inRepo("box", "cat deep/er/file"), "y");
    // Written to while it is sent, taken away and put back: in the end the guest has the last of it.
    let last = "";
    for (let turn = 0; turn < 60; turn++) {
      write("kept", (last += `${turn}\n`));
      if (turn % 20 === 10) rmSync(join(repository, "gone"));
      if (turn % 20 === 15) write("gone", "");
      await delay(20);
    }
    await until("the last state", async () => (await inRepo("box", "cat kept")) === last.trim() || undefined);
    assert.doesNotMatch(lines.text(), /changed on both sides/);
    watching.kill("SIGINT");
    assert.equal((await lines.ended).code, 130);
  });

  test("interrupted in the middle, it is the old workspace or the new one; so it is when its VM is stopped", async () => {
    await home.ok(prepare("box"));
    const before = await tree("box");
    write("big", randomBytes(12 * 1024 * 1024));
    write("kept", "new\n");
    git("add", "big");
    const cut = home.start(prepare("box"));
    const words = follow(cut);
    await words.until(/: ship /);
    cut.kill("SIGINT");
    const ended = await words.ended;
    const now = await tree("box");
    if (ended.code === 130) assert.equal(now, before);
    else assert.match(now, /big/);
    assert.equal(await inVm("box", "ls -A /root | grep banger || true"), "");

    const stopped = follow(home.start(prepare("box")));
    await stopped.until(/: ship /);
    await home.ok(["vm", "stop", "box"]);
    const { code, text } = await stopped.ended;
    if (code !== 0) assert.match(text, /guest\.unreachable|vm\.wrong-state|cancelled/);
    const host = await status("box");
    assert.match(host.guest.problem, /is not running/);
    const refused = await home.run(prepare("box"));
    assert.match(refused.stderr, /vm\.wrong-state/);
    await home.ok(["vm", "start", "box"]);
    assert.ok(code === 0 || (await tree("box")) === now);
    await home.ok(prepare("box", "--force"));
    assert.match(await tree("box"), /big/);
  });

  const tree = (name: string) =>
    inRepo(name, "find . -path ./.git -prune -o -type f -exec sha256sum {} + | sort; git rev-parse HEAD");

  test("two VMs at once; forks, and VMs that went back, are synced without a new prepare", async () => {
    await home.ok(["vm", "create", "--name", "two", ...vm]);
    write("kept", "both\n");
    const [one, two] = await Promise.all([home.ok(prepare("box")), home.ok(prepare("two"))]);
    assert.deepEqual([one.code, two.code], [0, 0]);
    assert.deepEqual([await inRepo("box", "cat kept"), await inRepo("two", "cat kept")], ["both", "both"]);
    await home.ok(["vm", "fork", "two", "--name", "three"]);
    await inRepo("three", "echo guest > tool");
    write("kept", "after the fork\n");
    write("tool", "host");
    const forked = await home.ok(["vm", "workspace", "sync", "three"]);
    assert.match(forked.stdout, /^1 written, 0 removed$/m);
    assert.match(forked.stderr, /changed on both sides, the guest keeps its own: tool/);
    assert.deepEqual([await inRepo("three", "cat kept"), await inRepo("two", "cat kept")], ["after the fork", "both"]);
    const now = await status("three");
    assert.deepEqual(
      [now.host, now.guest].map(({ changed }) => changed.paths),
      [["tool"], ["tool"]],
    );
    assert.match((await home.ok(["vm", "workspace", "export", "three"])).stdout, /^-echo tool\n\+guest$/m);

    // What the snapshot knows is in no commit, and the VM itself knows something else by the time it goes back.
    await home.ok(["vm", "workspace", "sync", "two"]);
    await home.ok(["vm", "snapshot", "create", "two", "shot"]);
    write("kept", "after the snapshot\n");
    git("commit", "-qam", "three");
    await home.ok(prepare("two"));
    await home.ok(["vm", "delete", "three"]);
    await home.ok(["vm", "restore", "two", "shot"]);
    assert.deepEqual((await status("two")).host.changed.paths, ["kept"]);
    assert.match((await home.ok(["vm", "workspace", "sync", "two"])).stdout, /^1 written, 0 removed$/m);
    assert.equal(await inRepo("two", "cat kept; git diff --stat refs/banger/base | cat"), "after the snapshot");
    await home.ok(["vm", "delete", "two"]);
    await home.ok(["vm", "create", "--warm-from", "shot", "--name", "four"]);
    assert.match((await home.ok(["vm", "workspace", "sync", "four"])).stdout, /^1 written, 0 removed$/m);
    await home.ok(["vm", "delete", "four"]);
    await home.ok(["vm", "snapshot", "delete", "shot"]);
  });
});

/** What a process prints on both streams, from its start to its end. */
function follow(child: ChildProcess) {
  let text = "";
  let wake = () => {};
  const take = (chunk: Buffer) => {
    text += chunk.toString();
    wake();
  };
  child.stdout?.on("data", take);
  child.stderr?.on("data", take);
  const ended = new Promise<{ code: number | null; text: string }>((resolve) => {
    child.once("close", (code) => {
      resolve({ code, text });
      wake();
    });
  });
  return {
    ended,
    text: () => text,
    async until(pattern: RegExp): Promise<void> {
      const signal = AbortSignal.timeout(60_000);
      while (!pattern.test(text)) {
        if (signal.aborted || child.exitCode !== null) throw new Error(`waited for ${pattern}; it printed: ${text}`);
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        const timer = setTimeout(resolve, 1000);
        await promise;
        clearTimeout(timer);
      }
    },
  };
}
