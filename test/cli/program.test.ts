// The real program with a real daemon, for everything that needs no VM.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { finished, Home, root } from "../support/home.ts";

describe("banger", { concurrency: false }, () => {
  let home: Home;
  before(() => {
    home = new Home({ seeded: false });
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
  });
  const socket = () => join(home.path, "run/bangerd.sock");

  test("version and help need no daemon and start none", async () => {
    assert.match((await home.ok(["--version"])).stdout, /^banger \d+\.\d+\.\d+ \(commit \w+, built [^)]+\)\n$/);
    assert.match((await home.ok(["version"])).stdout, /^version {2}\d+\.\d+\.\d+\ncommit {3}\w+\nbuilt {4}\S+/);
    const { version } = await home.json<{ version: string }>(["version"]);
    assert.match(version, /^\d+\.\d+\.\d+/);
    for (const words of [[], ["--help"], ["help"], ["vm"], ["vm", "run", "--help"], ["help", "image", "pull"]]) {
      const ran = await home.ok(words);
      assert.match(ran.stdout, /^banger.*\n\nUsage:\n/);
      assert.equal(ran.stderr, "");
    }
    assert.equal(existsSync(socket()), false);
  });

  test("a wrong command line exits with 2 and starts no daemon", async () => {
    for (const words of [
      ["nope"],
      ["vm", "show"],
      ["vm", "run", "--nope"],
      ["vm", "run", "-d", "--rm"],
      ["cp", "a", "b"],
    ]) {
      const ran = await home.run(words);
      assert.equal(ran.code, 2, words.join(" "));
      assert.equal(ran.stdout, "");
      assert.match(
        ran.stderr,
        /^banger: error: .* \(usage\)\nbanger: usage: banger .*\nbanger: hint: banger .*--help\n$/,
      );
    }
    assert.equal(existsSync(socket()), false);
  });

  test("without a daemon: status fails, stop has nothing to do, completion is silent", async () => {
    const status = await home.run(["daemon", "status", "--json"]);
    assert.equal(status.code, 1);
    assert.equal((JSON.parse(status.stderr) as { error: { code: string } }).error.code, "daemon.unreachable");
    assert.match((await home.ok(["daemon", "stop"])).stderr, /no daemon was running/);
    assert.equal((await home.ok(["__complete", "vm", "start", ""])).stdout, "");
    assert.equal(existsSync(socket()), false);
  });

  test("output that cannot be written is a failure, at the end and in the middle", async () => {
    const full = openSync("/dev/full", "w");
    try {
      for (const words of [["ps"], ["--help"], ["vm", "list", "--json"], ["events", "--json"], ["version"]]) {
        const child = spawn(join(root, "bin/banger"), words, {
          env: home.environment(),
          stdio: ["ignore", full, "pipe"],
        });
        const { code, stderr } = await finished(child);
        const error = words.includes("--json")
          ? /"code": "disk\.full"/
          : /no space is left where it goes \(disk\.full\)/;
        assert.match(stderr, words[0] === "version" ? /could not be written: ENOSPC/ : error, words.join(" "));
        assert.equal(code, 1, words.join(" "));
      }
    } finally {
      closeSync(full);
    }
  });

  test("lists of an empty home, and the daemon that starts by itself", async () => {
    assert.match((await home.ok(["ps"])).stdout, /^ID +NAME +STATE +IMAGE +VCPU +MEM +DISK +CREATED\n$/);
    assert.deepEqual(await home.json(["vm", "list", "--all"]), []);
    assert.deepEqual(await home.json(["image", "list"]), []);
    assert.deepEqual(await home.json(["kernel", "list"]), []);
    assert.deepEqual(await home.json(["operation", "list"]), []);
    assert.equal((await home.ok(["ps", "-q"])).stdout, "");
    assert.match((await home.ok(["image", "catalog"])).stdout, /debian-bookworm +no +\(built/);
    const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
    assert.ok(home.processes().some((found) => found.pid === pid));
  });

  test("things that are not there: exit 1, what and why, and a way on", async () => {
    for (const [words, code] of [
      [["vm", "show", "nope"], "vm.not-found"],
      [["vm", "exec", "nope", "--", "true"], "vm.not-found"],
      [["vm", "ssh", "nope"], "vm.not-found"],
      [["vm", "logs", "nope"], "vm.not-found"],
      [["cp", "nope:/etc/hostname", "."], "vm.not-found"],
      [["image", "show", "nope"], "image.not-found"],
      [["kernel", "show", "nope"], "kernel.not-found"],
      [["operation", "show", "op-00000000"], "operation.not-found"],
      [["image", "import", "/no/such/file.tar"], undefined],
      [["vm", "run", "/no/such/directory", "--", "true"], "workspace.not-a-repository"],
    ] as const) {
      const ran = await home.run(words);
      assert.equal(ran.code, 1, words.join(" "));
      assert.equal(ran.stdout, "");
      assert.match(ran.stderr, /^banger: error: /m);
      if (code !== undefined) assert.ok(ran.stderr.includes(`(${code})`), ran.stderr);
      const json = await home.run(["--json", ...words]);
      assert.equal(json.code, 1);
      const { error } = JSON.parse(json.stderr) as { error: { code: string; message: string } };
      if (code !== undefined) assert.equal(error.code, code);
      assert.ok(error.message.length > 5);
    }
    assert.deepEqual(await home.json(["vm", "list", "--all"]), []);
  });

  test("several targets that are missing: each is told once, in order", async () => {
    const ran = await home.run(["vm", "delete", "b", "a", "b"]);
    assert.equal(ran.code, 1);
    assert.deepEqual(ran.stderr.match(/no VM "\w"/g), ['no VM "b"', 'no VM "a"']);
  });

  test("settings and their origin; a broken file is told with its line", async () => {
    await home.ok(["daemon", "stop"]);
    const file = join(home.path, "config.toml");
    writeFileSync(file, "[vm_defaults]\nvcpu = 3\n");
    const { settings } = await home.json<{ settings: { key: string; value: unknown; origin: string; line: number }[] }>(
      ["config", "show"],
    );
    const vcpu = settings.find(({ key }) => key === "vm_defaults.vcpu");
    assert.deepEqual([vcpu?.value, vcpu?.origin, vcpu?.line], [3, "file", 2]);
    assert.match((await home.ok(["config", "show"])).stdout, /^vm_defaults\.vcpu +3 +file, line 2$/m);
    await home.ok(["daemon", "stop"]);
    writeFileSync(file, '[vm_defaults]\nvcpu = "many"\n');
    const broken = await home.run(["ps"]);
    assert.equal(broken.code, 1);
    assert.match(broken.stderr, /config\.toml/);
    assert.match(broken.stderr, /vcpu/);
    writeFileSync(file, "");
  });

  test("doctor says PASS, WARN or FAIL of each check", async () => {
    const checks = await home.json<{ name: string; status: string }[]>(["doctor"]);
    assert.ok(checks.length > 3);
    for (const { status } of checks) assert.match(status, /^(PASS|WARN|FAIL)$/);
    const { stdout } = await home.ok(["doctor"]);
    for (const { name } of checks) assert.match(stdout, new RegExp(`^(PASS|WARN|FAIL) {2}${name}$`, "m"));
  });

  test("an output that nobody reads ends the program without an error", () => {
    const script = `"$BANGER" vm run --help | true; "$BANGER" ps | true; exit \${PIPESTATUS[1]}`;
    const environment = { ...home.environment(), BANGER: join(import.meta.dirname, "../../bin/banger") };
    assert.equal(execFileSync("bash", ["-c", `{ ${script}; } 2>&1`], { env: environment, encoding: "utf8" }), "");
  });

  test("works from any directory and through a symbolic link", async () => {
    const directory = join(home.path, "some where");
    mkdirSync(directory, { recursive: true });
    const link = join(directory, "bg");
    execFileSync("ln", ["-s", join(import.meta.dirname, "../../bin/banger"), link]);
    const text = execFileSync(link, ["ps"], { cwd: directory, env: home.environment(), encoding: "utf8" });
    assert.match(text, /^ID/);
  });
});
