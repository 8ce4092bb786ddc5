// What comes along from the host into each VM that starts: the files of [[file_sync]] and who commits are by.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Operation, VmRecord } from "../../src/api/records.ts";
import { Home, type Ran, smallVm } from "../support/home.ts";

describe("files of the host in VMs", { concurrency: false }, () => {
  let home: Home;
  let user: string;
  before(() => {
    home = new Home({ seeded: true });
    user = mkdtempSync(join(tmpdir(), "banger-user-"));
    mkdirSync(join(user, ".config/tool"), { recursive: true });
    writeFileSync(join(user, ".config/tool/settings"), "settings");
    writeFileSync(join(user, ".npmrc"), "token-1");
    writeFileSync(
      join(user, ".gitconfig"),
      '[user]\nname = "Ada \\"L\\" Ü"\nemail = ada@example.org\n[alias]\nx = !touch /x\n',
    );
    configure("");
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    rmSync(user, { recursive: true });
  });

  const configure = (more: string) =>
    writeFileSync(
      join(home.path, "config.toml"),
      `[[file_sync]]
host = "~/.npmrc"
guest = "~/.npmrc"
[[file_sync]]
host = "~/.config/tool"
guest = "/root/.config/tool"
[[file_sync]]
host = "~/.absent"
guest = "~/.absent"
${more}`,
    );
  const ok = (...args: string[]): Promise<Ran> => home.ok(args, { env: { HOME: user } });
  const inVm = async (vm: string, script: string) =>
    (await ok("vm", "exec", vm, "--", "sh", "-c", script)).stdout.trim();

  test("a new VM has them, with their modes, as root's; what is missing is told and no failure", async () => {
    const made = await ok("vm", "create", "--name", "one", ...smallVm);
    assert.match(made.stderr, /^one: "~\/\.absent" was not copied: it is not there$/m);
    const operations = await home.json<Operation[]>(["operation", "list"]);
    const create = operations.find(({ kind }) => kind === "vm.create");
    assert.deepEqual([create?.stage, create?.detail], ["ready", '"~/.absent" was not copied: it is not there']);
    assert.equal(await inVm("one", "cat ~/.npmrc ~/.config/tool/settings"), "token-1settings");
    assert.equal(await inVm("one", "stat -c '%a %U %G' ~/.npmrc ~/.config/tool"), "600 root root\n755 root root");
    assert.equal(
      await inVm("one", "git config --global user.name; git config --global user.email"),
      'Ada "L" Ü\nada@example.org',
    );
    assert.equal(await inVm("one", "git config --global --list | wc -l"), "2");
    const { lastStart } = await home.json<VmRecord>(["vm", "show", "one"]);
    assert.equal(lastStart?.phases.at(-1)?.name, "files");
  });

  test("each start brings what the host has then; a fork keeps what it has; what the guest says of itself stands", async () => {
    await inVm("one", "rm ~/.npmrc; mkfifo ~/.npmrc; ln -sfn /etc ~/.config/tool/up; echo x >~/.config/tool/own");
    writeFileSync(join(user, ".npmrc"), "token-2");
    await ok("vm", "restart", "one");
    assert.equal(await inVm("one", "cat ~/.npmrc ~/.config/tool/own"), "token-2x");
    await inVm(
      "one",
      "git config --global user.email me@example.org; git config --global --unset user.name; rm ~/.npmrc",
    );
    await ok("vm", "fork", "one", "--name", "kid");
    assert.equal(await inVm("kid", "ls -A ~ | grep -c npmrc; true"), "0");
    await ok("vm", "pause", "one");
    await ok("vm", "resume", "one");
    assert.equal(await inVm("one", "ls -A ~ | grep -c npmrc; true"), "0");
    writeFileSync(join(user, ".gitconfig"), "[user]\nname = Grace\n");
    await inVm("one", "mkdir ~/.npmrc");
    await ok("vm", "stop", "one");
    assert.match((await ok("vm", "start", "one")).stderr, /^one: not all files were copied: .*\.npmrc/m);
    await inVm("one", "rmdir ~/.npmrc");
    await ok("vm", "restart", "one");
    assert.equal(await inVm("one", "cat ~/.npmrc; git config --global --list"), "token-2user.email=me@example.org");
  });

  test("what cannot be copied ends the start and says which entry; the VM starts once that is mended", async () => {
    await ok("vm", "stop", "one");
    await ok("daemon", "stop", "--force");
    configure('[[file_sync]]\nhost = "/etc/hostname"\nguest = "~/hostname"\n');
    const refused = await home.run(["vm", "start", "one"], { env: { HOME: user } });
    assert.match(
      refused.stderr,
      /file_sync\[3\]: "\/etc\/hostname" cannot be copied: .*outside of the home.*\(file\.failed\)/,
    );
    assert.equal((await home.json<VmRecord>(["vm", "show", "one"])).state, "stopped");
    await ok("daemon", "stop", "--force");
    configure('[[file_sync]]\nhost = "~/../x"\nguest = "~/x"\n');
    const invalid = await home.run(["vm", "start", "one"], { env: { HOME: user } });
    assert.match(invalid.stderr, /config\.toml:11: file_sync\[3\]\.host: expected an absolute path/);
    writeFileSync(join(home.path, "config.toml"), "git_identity = false\n");
    await ok("vm", "create", "--name", "two", ...smallVm);
    assert.equal(await inVm("two", "ls -A ~ | grep -cE 'gitconfig|npmrc'; true"), "0");
    await ok("vm", "start", "one");
  });
});
