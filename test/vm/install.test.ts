// A release is packed, unpacked, installed, used, replaced by a newer one and removed, with nothing of the checkout in reach.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Home, root, smallVm } from "../support/home.ts";

/** As a user has it who has only this: system programs, and banger from the prefix. */
class InstalledHome extends Home {
  readonly #prefix: string;
  constructor(prefix: string) {
    super({ seeded: true });
    this.#prefix = prefix;
  }
  protected override command(args: readonly string[]): [string, ...string[]] {
    return [join(this.#prefix, "bin/banger"), ...args];
  }
  override environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
    return { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: this.path, NO_COLOR: "1", ...extra, BANGER_HOME: this.path };
  }
}

describe("a release", { concurrency: false }, () => {
  let directory: string;
  let prefix: string;
  /** Unpacked. */
  let release: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "banger-install-"));
    // A path with what has to be quoted.
    prefix = join(directory, "a prefix");
  });
  after(() => rmSync(directory, { recursive: true }));

  const sh = (...args: string[]) => {
    const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: directory };
    const { status, stdout, stderr } = spawnSync("sh", args, { env, cwd: "/", encoding: "utf8" });
    return { status, stdout, stderr };
  };
  const install = (...args: string[]) => sh(join(release, "install.sh"), "--prefix", prefix, ...args);
  const builds = () => readdirSync(join(prefix, "lib/banger")).filter((name) => !name.startsWith("."));
  const used = () => readlinkSync(join(prefix, "bin/banger")).split("/").at(3) ?? "";

  test("is packed alike twice, says whose software is in it, and lets nobody write to it", () => {
    const names = ["one", "two"].map((name) => {
      const ran = spawnSync("sh", [join(root, "scripts/package.sh"), join(directory, name)], { encoding: "utf8" });
      assert.equal(ran.status, 0, ran.stderr);
      return ran.stdout.trim();
    });
    const sums = names.map((name) => readFileSync(`${name}.sha256`, "utf8"));
    assert.match(sums[0] ?? "", /^[0-9a-f]{64} {2}banger-[0-9.]+-linux-\w+\.tar\.zst\n$/);
    assert.equal(sums[0], sums[1]);
    const [file = ""] = names;
    const checked = spawnSync("sha256sum", ["--check", "--quiet", `${file}.sha256`], { cwd: join(directory, "one") });
    assert.equal(checked.status, 0);
    assert.equal(spawnSync("tar", ["--zstd", "-xf", file, "-C", directory]).status, 0);
    const [unpacked = ""] = readdirSync(directory).filter((name) => name.startsWith("banger-"));
    release = join(directory, unpacked);
    for (const name of readdirSync(release, { recursive: true }).map(String)) {
      const { mode } = lstatSync(join(release, name));
      assert.equal(mode & 0o022, 0, `${name} can be written to by others`);
    }
    const thirdParty = readFileSync(join(release, "THIRD-PARTY.md"), "utf8");
    for (const name of ["node-linux-", "@connectrpc/connect ", "gvisor.dev/gvisor ", "valibot "]) {
      assert.ok(thirdParty.includes(`\n## ${name}`), name);
    }
    assert.ok(thirdParty.length > 100_000, "the texts of the licences are in it");
  });

  test("is installed, runs a VM, and is installed again without a change", async () => {
    const first = install();
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stdout, /^banger \S+ is installed: .*a prefix\/bin\/banger\nnext: export PATH=/);
    await using home = new InstalledHome(prefix);
    const ran = await home.ok(["vm", "run", "--rm", ...smallVm, "--", "echo", "from a release"]);
    assert.equal(ran.stdout, "from a release\n");
    const [build = ""] = builds();
    const [daemon] = home.processes().filter(({ command }) => command === "bangerd");
    assert.ok(daemon !== undefined);
    assert.equal(readlinkSync(`/proc/${daemon.pid}/exe`), join(prefix, "lib/banger", build, "dist/node"));
    assert.match(readFileSync(join(prefix, "share/bash-completion/completions/banger"), "utf8"), /complete /);
    assert.equal(install().status, 0);
    assert.deepEqual(builds(), [build]);

    const refused = install("--uninstall");
    assert.equal(refused.status, 1);
    assert.match(
      refused.stderr,
      new RegExp(`it is in use, by process .*\\b${daemon.pid}\\b[\\s\\S]*hint: .*banger daemon stop`),
    );
    assert.ok(existsSync(join(prefix, "bin/banger")));
  });

  test("a newer one takes over, and what runs keeps the files that it started with", async () => {
    const [first = ""] = builds();
    const change = () => appendFileSync(join(release, "dist/cli.mjs"), "\n// another build\n");
    await using home = new InstalledHome(prefix);
    await home.ok(["image", "list"]);
    const daemonFile = () => {
      const [daemon] = home.processes().filter(({ command }) => command === "bangerd");
      return readlinkSync(`/proc/${daemon?.pid}/exe`);
    };
    for (let count = 0; count < 2; count++) {
      change();
      // What an installation that was cut short leaves.
      mkdirSync(join(prefix, "lib/banger/.staging.cut/dist"), { recursive: true });
      assert.equal(install().status, 0);
    }
    assert.ok(!existsSync(join(prefix, "lib/banger/.staging.cut")));
    // Two newer ones later, the daemon still has its own.
    assert.equal(builds().length, 3);
    assert.ok(builds().includes(first) && used() !== first);
    assert.equal(daemonFile(), join(prefix, "lib/banger", first, "dist/node"));
    assert.equal((await home.ok(["vm", "run", "--rm", ...smallVm, "--", "echo", "still"])).stdout, "still\n");
    await home.ok(["daemon", "stop"]);
    change();
    assert.equal(install().status, 0);
    assert.equal(builds().length, 2, "the one in use, and the one before it");
    assert.ok(builds().includes(used()) && !builds().includes(first));
  });

  test("is removed without a trace", () => {
    assert.equal(install("--uninstall").status, 0);
    assert.ok(
      !existsSync(join(prefix, "lib")) && !existsSync(join(prefix, "bin")) && !existsSync(join(prefix, "share")),
    );
    assert.equal(install("--uninstall").status, 0, "and once more");
  });

  test("replaces no program of somebody else, and takes no relative place", () => {
    mkdirSync(join(prefix, "bin"), { recursive: true });
    writeFileSync(join(prefix, "bin/banger"), "#!/bin/sh\n");
    for (const args of [[], ["--uninstall"]]) {
      const refused = install(...args);
      assert.deepEqual([refused.status, refused.stdout], [1, ""]);
      assert.match(refused.stderr, /bin\/banger is there and was not installed by this script\ninstall: hint: mv /);
    }
    assert.deepEqual(readdirSync(prefix), ["bin"]);
    assert.match(sh(join(release, "install.sh"), "--prefix", "here").stderr, /"here" is not an absolute path/);
    assert.match(sh(join(release, "install.sh"), "--global").stderr, /"--global" is not an option/);
  });
});
