// Tool chains with the real mise in real VMs, which installs from a mirror in the test's own "internet".
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { smallVm } from "../support/home.ts";
import { WorldHome } from "../support/internet/world.ts";
import { imageWithMise, nodeMirror } from "../support/mise.ts";

describe("tools that a repository pins", { concurrency: false }, () => {
  let home: WorldHome;
  const directory = mkdtempSync(join(tmpdir(), "banger-mise-"));
  const mirror = join(directory, "files/node");
  /** A repository with one file. */
  const repository = (file: string, content: string) => {
    const path = join(directory, file.replace(".", ""));
    mkdirSync(path);
    writeFileSync(join(path, file), content);
    for (const words of ["init -q", "add -A", "-c user.name=t -c user.email=t@t commit -qm one"]) {
      execFileSync("git", ["-C", path, ...words.split(" ")], { stdio: "pipe" });
    }
    return path;
  };
  const run = (...words: string[]) => home.run(["vm", "run", "--image", "with-mise", ...smallVm, ...words]);
  const exec = (...words: string[]) => home.run(["vm", "exec", ...words]);

  before(async () => {
    nodeMirror(mirror, ["22.1.0", "20.2.0"]);
    home = await WorldHome.make("", { files: join(directory, "files") });
    const image = imageWithMise(directory, "http://site.example/files/node/");
    await home.ok(["image", "register", image, "--name", "with-mise"]);
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  test("a file for mise: shown, missed without a network, installed with one, and what commands find", async () => {
    const path = repository(".tool-versions", "node 22.1.0\n");
    assert.match((await home.ok(["vm", "workspace", "plan", path])).stdout, /^node +22\.1\.0 +\.tool-versions$/m);
    const refused = await run("--rm", path, "--", "true");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /node 22\.1\.0 \(\.tool-versions\): the VM has no network.*workspace\.tools-missing/);
    assert.match(refused.stderr, /hint: banger vm run --nat .*--no-bootstrap/);
    const without = await run("--rm", "--no-bootstrap", path, "--", "sh", "-c", "echo goes on; exit 7");
    assert.deepEqual([without.code, without.stdout], [7, "goes on\n"], without.stderr);

    const installed = await run("--name", "box", "--nat", path, "--", "sh", "-c", "node --version; exit 5");
    assert.deepEqual([installed.code, installed.stdout], [5, "v22.1.0\n"], installed.stderr);
    assert.match(installed.stderr, /installed: node 22\.1\.0 \(\.tool-versions\)/);
    const argv = await exec("box", "--", "sh", "-c", 'node --version; echo "$0 $1"; exit 77', "a b", "c'd");
    assert.deepEqual([argv.code, argv.stdout, argv.stderr], [77, "v22.1.0\na b c'd\n", ""]);
    assert.equal((await exec("box", "--", "sh", "-c", "kill -9 $$")).code, 137);
    assert.equal((await exec("box", "--", "no-such-command")).code, 127);
    assert.equal((await exec("box", "--", "/etc/passwd")).code, 126);
    assert.equal((await exec("--no-tools", "box", "--", "node")).code, 127);
    assert.equal((await exec("--workdir", "/tmp", "box", "--", "node")).code, 127);
    assert.match((await exec("box", "--", "cat", "/root/.cache/banger/tools.log")).stdout, /node@22\.1\.0/);
    // The command's own mise may fetch things.
    assert.equal((await exec("box", "--", "mise", "install", "node@20.2.0")).code, 0);
  });

  test("another tool's own file, and a version that cannot be had", async () => {
    const other = await run("--rm", "--nat", repository(".nvmrc", "20.2.0\n"), "--", "node", "--version");
    assert.deepEqual([other.code, other.stdout], [0, "v20.2.0\n"], other.stderr);
    const never = await run("--rm", "--nat", repository("mise.toml", '[tools]\nnode = "9.9.9"\n'), "--", "true");
    assert.equal(never.code, 1);
    assert.match(never.stderr, /mise ended with exit code 1: Failed to install core:node@9\.9\.9/);
  });
});
