// `vm run` end to end, with real VMs: exact exit codes, binary pipes, repositories, and what stays afterwards.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { finished, Home, root, smallVm } from "../support/home.ts";

describe("vm run", { concurrency: false }, () => {
  let home: Home;
  let directory: string;
  before(() => {
    home = new Home({ seeded: true });
    directory = mkdtempSync(join(tmpdir(), "banger-run-"));
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await home[Symbol.asyncDispose]();
  });
  const names = async () => (await home.vms()).map((vm) => vm.name);

  test("the example repository's tests pass in a VM, and the VM is gone afterwards", async () => {
    const ran = await home.ok(["vm", "run", "--rm", ...smallVm, join(root, "examples/hello"), "--", "make", "test"]);
    assert.match(ran.stdout + ran.stderr, /test_greets_by_name.*ok/);
    assert.deepEqual(await names(), []);
  });

  test("stdout and stderr stay apart and the exit code is exact", async () => {
    const ran = await home.run([
      "vm",
      "run",
      "--rm",
      "--quiet",
      ...smallVm,
      "--",
      "sh",
      "-c",
      "echo out; echo err >&2; exit 42",
    ]);
    assert.deepEqual(
      { code: ran.code, stdout: ran.stdout, stderr: ran.stderr },
      { code: 42, stdout: "out\n", stderr: "err\n" },
    );
  });

  test("a command that a signal ends gives 128 + n, and one that is not there gives an error", async () => {
    await home.ok(["vm", "create", "--name", "codes", ...smallVm]);
    for (const [script, code] of [
      ["kill -TERM $$", 143],
      ["kill -KILL $$", 137],
      ["exit 255", 255],
    ] as const) {
      assert.equal((await home.run(["vm", "exec", "codes", "--", "sh", "-c", script])).code, code, script);
    }
    const missing = await home.run(["vm", "exec", "codes", "--", "no-such-program"]);
    assert.equal(missing.code, 127);
    assert.match(missing.stderr, /no-such-program.*exec\.not-found/);
    await home.ok(["vm", "delete", "codes"]);
  });

  test("binary input and output pass unchanged; a closed stdin never hangs", async () => {
    await home.ok(["vm", "create", "--name", "pipes", ...smallVm]);
    const bytes = randomBytes(3 * 1024 * 1024 + 17);
    const child = home.start(["vm", "exec", "pipes", "--", "cat"], { stdin: bytes });
    const hash = createHash("sha256");
    child.stdout?.on("data", (chunk: Buffer) => hash.update(chunk));
    const [code] = await new Promise<[number | null]>((resolve) => child.once("close", (exit) => resolve([exit])));
    assert.equal(code, 0);
    assert.equal(hash.digest("hex"), createHash("sha256").update(bytes).digest("hex"));

    assert.equal((await home.ok(["vm", "exec", "pipes", "--", "cat"])).stdout, "");
    const readOnly = openSync("/dev/null", "r");
    const closed = spawn(
      "sh",
      ["-c", 'exec 0<&-; exec "$0" "$@"', join(root, "bin/banger"), "vm", "exec", "pipes", "--", "cat"],
      {
        env: home.environment(),
        stdio: [readOnly, "pipe", "pipe"],
      },
    );
    closeSync(readOnly);
    assert.equal((await finished(closed)).code, 0);
    const fast = await home.run(["vm", "exec", "pipes", "--", "head", "-c", "5"], {
      stdin: "hello world".repeat(100_000),
    });
    assert.deepEqual([fast.code, fast.stdout], [0, "hello"]);
    await home.ok(["vm", "delete", "pipes"]);
  });

  test("a path ships tracked files only, with dirty content, and a subdirectory is where the command runs", async () => {
    const repository = join(directory, "project");
    mkdirSync(join(repository, "sub"), { recursive: true });
    const git = (...args: string[]) => execFileSync("git", ["-C", repository, ...args], { stdio: "pipe" });
    git("init", "-q");
    writeFileSync(join(repository, "sub/file"), "old");
    writeFileSync(join(repository, ".gitignore"), "*.log\n");
    git("add", "-A");
    git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x");
    writeFileSync(join(repository, "sub/file"), "dirty");
    writeFileSync(join(repository, "secret.env"), "SECRET=1");
    writeFileSync(join(repository, "noise.log"), "");
    const ran = await home.ok([
      "vm",
      "run",
      "--name",
      "kept",
      ...smallVm,
      join(repository, "sub"),
      "--",
      "sh",
      "-c",
      "pwd; cat file; ls -A ..",
    ]);
    assert.equal(ran.stdout, "/root/repo/sub\ndirty.git\n.gitignore\nsub\n");
    assert.match(ran.stderr, /1 untracked/);
    const vms = await home.vms();
    assert.deepEqual(
      vms.map((vm) => [vm.name, vm.state]),
      [["kept", "running"]],
    );
    assert.equal((await home.ok(["vm", "exec", "kept", "--", "pwd"])).stdout, "/root/repo/sub\n");
    await home.ok(["vm", "delete", "kept"]);
  });

  test("-d leaves a VM that can be reached; what makes no sense is refused before anything is made", async () => {
    await home.ok(["vm", "run", "-d", "--name", "detached", ...smallVm]);
    assert.equal((await home.ok(["vm", "exec", "detached", "--", "hostname"])).stdout, "detached\n");
    for (const args of [
      ["-d", "--rm"],
      ["-d", "--", "true"],
    ]) {
      const refused = await home.run(["vm", "run", ...args]);
      assert.equal(refused.code, 2, args.join(" "));
    }
    assert.deepEqual(await names(), ["detached"]);
    await home.ok(["vm", "delete", "detached"]);
  });

  test("bad input: a clear error with a way on, and nothing is made", async () => {
    await home.ok(["vm", "create", "--no-start", "--name", "taken", ...smallVm]);
    for (const [args, code, words] of [
      [["--vcpu", "0"], "vm.spec-invalid", /--vcpu 0/],
      [["--vcpu", "x"], "usage", /--vcpu/],
      [["--vcpu", "1000"], "vm.spec-invalid", /--vcpu 1000/],
      [["--memory", "9999G"], "vm.spec-invalid", /more than this host has/],
      [["--name", "taken"], "vm.name-taken", /"taken"/],
      [["--name", "Not_A_Label"], "vm.name-invalid", /"Not_A_Label"/],
      [["--image", "no-such-image"], "image.not-found", /debian-bookworm/],
      [[directory], "workspace.not-a-repository", /not in a git repository/],
    ] as const) {
      const ran = await home.run(["vm", "run", "--rm", "--json", ...args, "--", "true"]);
      assert.equal(ran.code, code === "usage" ? 2 : 1, args.join(" "));
      const { error } = JSON.parse(ran.stderr.slice(ran.stderr.indexOf("{"))) as {
        error: { code: string; message: string; hint?: string };
      };
      assert.equal(error.code, code, args.join(" "));
      assert.match(`${error.message} ${error.hint}`, words);
    }
    assert.deepEqual(await names(), ["taken"]);
    await home.ok(["vm", "delete", "taken"]);
  });
});
