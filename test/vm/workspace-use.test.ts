// Commands in a workspace: a host that goes on, forks that are compared; and a guest that does not send what it should.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Home, smallVm } from "../support/home.ts";

describe("a repository in a VM at work", { concurrency: false }, () => {
  let home: Home;
  let directory: string;
  let host: string;
  const git = (...args: string[]) =>
    execFileSync("git", ["-C", host, "-c", "user.name=t", "-c", "user.email=t@t", ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    }).trim();
  const write = (name: string, content: string, mode = 0o644) => writeFileSync(join(host, name), content, { mode });
  const exec = (...words: string[]) => home.run(["vm", "exec", ...words]);
  const sh = (script: string) => home.ok(["vm", "exec", "--workdir", "/", "box", "--", "sh", "-c", script]);

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-use-"));
    host = join(directory, "repo");
    mkdirSync(host);
    git("init", "-q", "-b", "main");
    write("file", "one\n");
    write("try.sh", '#!/bin/sh\necho "idea $BANGER_FORK" >idea\nexit $((BANGER_FORK + 4))\n', 0o755);
    git("add", "-A");
    git("commit", "-qm", "first");
    home = new Home({ seeded: true });
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await home[Symbol.asyncDispose]();
  });

  test("forks run the same command, and two of them are compared", async () => {
    const ran = await home.run(["vm", "run", "--name", "try", "--fork", "2", ...smallVm, host, "--", "./try.sh"]);
    assert.equal(ran.code, 5, ran.stderr);
    assert.match(ran.stdout, /^try-1 +5 .* 1 file, \+1 -0$/m);
    assert.match(ran.stdout, /^try-2 +6 .* 1 file, \+1 -0$/m);
    const vms = await home.vms();
    assert.deepEqual(vms.map(({ name }) => name).toSorted(), ["try-1", "try-2"]);
    const diff = await home.ok(["vm", "workspace", "diff", "try-1", "try-2"]);
    assert.match(diff.stdout, /^diff --git a\/idea b\/idea\n[^]*^-idea 1\n\+idea 2\n$/m);
    assert.match((await home.ok(["vm", "workspace", "diff", "try-2", "--stat"])).stdout, /^ A {2}\+1 +idea$/m);
    const applied = await home.run(["vm", "workspace", "export", "try-2", "--apply", "--check"]);
    assert.equal(applied.code, 0, applied.stderr);
    assert.equal(existsSync(join(host, "idea")), false);
    await home.ok(["vm", "delete", "try-1"]);
    await home.ok(["vm", "rename", "try-2", "box"]);
  });

  test("the host goes on: a command says so, and is run all the same; --auto-prepare brings it up to date", async () => {
    await sh("rm /root/repo/idea");
    assert.equal((await exec("box", "--", "cat", "file")).stderr, "");
    write("file", "two\n");
    git("commit", "-qam", "second");
    const stale = await exec("box", "--", "sh", "-c", "cat file; exit 42");
    assert.deepEqual([stale.code, stale.stdout], [42, "one\n"]);
    assert.match(stale.stderr, /is at [0-9a-f]{12} by now.*--auto-prepare/);
    const fresh = await exec("--auto-prepare", "box", "--", "sh", "-c", "cat file; pwd; exit 43");
    assert.deepEqual([fresh.code, fresh.stdout], [43, "two\n/root/repo\n"], fresh.stderr);
    const again = await exec("--guest-path", "/tmp", "box", "--", "pwd");
    assert.deepEqual([again.stdout, again.stderr], ["/tmp\n", ""]);
  });

  test("a guest that sends something else is refused, in bounded size, and nothing of the host changes", async () => {
    const fakeGit = (body: string) =>
      sh(
        `cat >/usr/local/bin/git <<'END'\n#!/bin/sh\n${body}\nexec /usr/bin/git "$@"\nEND\nchmod +x /usr/local/bin/git`,
      );
    const before = git("status", "--porcelain");
    const refused = async (...flags: string[]) => {
      const ran = await home.run(["vm", "workspace", "export", "box", "--apply", ...flags]);
      assert.equal(ran.code, 1, ran.stdout);
      assert.match(ran.stderr, /refused: .*\(workspace\.refused\)/);
      assert.equal(git("status", "--porcelain"), before);
      return ran.stderr;
    };
    await sh("echo changed >/root/repo/file");
    await fakeGit('case "$*" in *pack-objects*) exec cat /dev/zero ;; esac');
    await refused();
    await fakeGit('case "$*" in *pack-objects*) printf "PACK\\0\\0\\0\\2\\0\\0\\0\\1"; exec yes ;; esac');
    await refused("--max-size", "2M");
    // A tree with a hook in it, which git itself would not make.
    await fakeGit(`case "$*" in *write-tree*)
  blob=$(echo '#!/bin/sh' | /usr/bin/git hash-object -w --stdin)
  hooks=$(printf '100755 blob %s\\tpost-checkout\\n' $blob | /usr/bin/git mktree)
  dir=$(printf '040000 tree %s\\thooks\\n' $hooks | /usr/bin/git mktree)
  python3 -c 'import sys; sys.stdout.buffer.write(b"40000 .git\\0" + bytes.fromhex(sys.argv[1]))' $dir |
    /usr/bin/git hash-object -w -t tree --literally --stdin
  exit ;; esac`);
    await refused();
    await sh("rm /usr/local/bin/git; cd /root/repo && git init -q nested && touch nested/x && git -C nested add -A");
    await sh("cd /root/repo/nested && git -c user.name=a -c user.email=a@a commit -qm x");
    assert.match(await refused(), /"nested" is a git repository inside the repository[^]*info\/exclude/);
    assert.deepEqual(
      readdirSync(join(host, ".git/hooks")).filter((name) => !name.endsWith(".sample")),
      [],
    );
    await sh("echo /nested >>/root/repo/.git/info/exclude");
    await home.ok(["vm", "workspace", "export", "box", "--apply"]);
    assert.equal(readFileSync(join(host, "file"), "utf8"), "changed\n");
    await sh("apt-get --version >/dev/null; mv /usr/bin/git /usr/bin/git.gone");
    const without = await home.run(["vm", "workspace", "export", "box"]);
    assert.match(without.stderr, /has no git, which packs[^]*hint: .*install -y git/);
  });
});
