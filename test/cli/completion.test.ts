// Completion as a user meets it: the scripts in real shells, names from a real daemon.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { findTool } from "../../src/lib/run.ts";
import { Home, root } from "../support/home.ts";

describe("completion", { concurrency: false }, () => {
  let home: Home;
  let directory: string;
  before(async () => {
    home = new Home({ seeded: false });
    directory = join(home.path, "files");
    mkdirSync(join(directory, "a directory"), { recursive: true });
    writeFileSync(join(directory, "rootfs.tar"), "");
    await home.ok(["ps"]);
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
  });

  const environment = () => home.environment({ PATH: `${root}/bin:${process.env["PATH"]}` });
  const proposals = async (...words: string[]) =>
    (await home.ok(["__complete", ...words])).stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split("\t")[0]);

  test("commands, options, values and names", async () => {
    assert.deepEqual(await proposals("vm", "st"), ["stats", "start", "stop"]);
    assert.deepEqual(await proposals("k"), ["kernel"]);
    assert.deepEqual(await proposals("vm", "snapshot", ""), ["create", "list", "show", "delete"]);
    assert.deepEqual(await proposals("vm", "fork", "--c"), ["--count"]);
    assert.deepEqual(await proposals("vm", "run", "--me"), ["--memory"]);
    assert.ok((await proposals("image", "pull", "debian")).includes("debian-bookworm"));
    assert.deepEqual(await proposals("vm", "run", "--image", ""), []);
    assert.deepEqual(await proposals("completion", ""), ["bash", "zsh", "fish"]);
    assert.deepEqual(await proposals("image", "import", ""), [":files"]);
    assert.deepEqual(await proposals("vm", "exec", "box", "--", "l"), [], "the guest's words are the guest's");
    assert.deepEqual(await proposals("nope", ""), []);
    assert.ok((await proposals("")).every((name) => name !== "internal" && name !== "__complete"));
  });

  /** What bash proposes when TAB is pressed at the end of the line. */
  function bash(line: string): string[] {
    const script = `source <(banger completion bash)
      COMP_LINE=$1 COMP_POINT=\${#1}
      compopt() { :; }
      _banger banger
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync("bash", ["-c", script, "bash", line], { env: environment(), cwd: directory, encoding: "utf8" })
      .split("\n")
      .filter((word) => word !== "");
  }

  test("bash", () => {
    assert.deepEqual(bash("banger vm re"), ["rename", "restart", "resume", "restore"]);
    assert.deepEqual(bash("banger vm snapshot d"), ["delete"]);
    assert.deepEqual(bash("banger image import r"), ["rootfs.tar"]);
    assert.deepEqual(bash("banger image import ").toSorted(), ["a directory", "rootfs.tar"]);
    assert.deepEqual(bash("banger vm start "), []);
    assert.deepEqual(bash("banger vm run --vc"), ["--vcpu"]);
  });

  test("zsh and fish take their scripts, when they are installed", async () => {
    for (const shell of ["zsh", "fish"]) {
      const script = (await home.ok(["completion", shell])).stdout;
      assert.match(script, /__complete/);
      const file = join(home.path, `completion.${shell}`);
      writeFileSync(file, script);
      if (findTool(shell) !== undefined) execFileSync(shell, ["-n", file], { env: environment() });
    }
    if (findTool("fish") !== undefined) {
      const found = execFileSync("fish", ["-c", "banger completion fish | source; complete -C 'banger vm rest'"], {
        env: environment(),
        encoding: "utf8",
      });
      assert.match(found, /^restart\t/m);
    }
  });
});
