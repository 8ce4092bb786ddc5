// Everything as a user without any privilege: no root, no groups, a home of its own.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, mkdirSync, mkdtempSync, readdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { Home, smallVm } from "../support/home.ts";
import { seedHome, smallMachine } from "../support/seed.ts";

const nobody = 65534;

class UnprivilegedHome extends Home {
  constructor() {
    const path = mkdtempSync(join(tmpdir(), "banger-test-"));
    chownSync(path, nobody, nobody);
    super({ seeded: false, path });
  }

  override environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
    const kept = Object.entries(super.environment(extra)).filter(([name]) => !name.startsWith("XDG_"));
    return { ...Object.fromEntries(kept), HOME: this.path };
  }

  protected override command(args: readonly string[]): [string, ...string[]] {
    const ids = [`--reuid=${nobody}`, `--regid=${nobody}`];
    return ["setpriv", ...ids, "--clear-groups", "--no-new-privs", ...super.command(args)];
  }
}

test("import, run and remove without root", async () => {
  await using home = new UnprivilegedHome();
  // The seed's image as if this user had pulled it: copied, as a change of owner would reach the seed through a link.
  const state = join(home.path, "state");
  mkdirSync(state);
  execFileSync("cp", ["-a", "--sparse=always", `${seedHome}/state/images`, `${seedHome}/state/banger.db`, state]);
  const database = new DatabaseSync(join(state, "banger.db"));
  database.exec("DELETE FROM kernels");
  database.close();
  const kernels = join(seedHome, "state/kernels");
  const kernel = join(home.path, "kernel");
  mkdirSync(kernel);
  const seed = join(kernels, readdirSync(kernels)[0] ?? "");
  execFileSync("cp", ["-a", join(seed, "lib"), kernel]);
  execFileSync("cp", ["-a", join(seed, "kernel"), join(kernel, "vmlinuz")]);
  execFileSync("tar", ["-cf", join(home.path, "tiny.tar"), "-C", "/etc", "hostname"]);
  execFileSync("chown", ["-R", `${nobody}:${nobody}`, home.path]);

  await home.ok(["kernel", "import", kernel, "--name", "debian-bookworm-cloud"]);
  await home.ok(["image", "import", join(home.path, "tiny.tar"), "--name", "tiny"]);
  const ran = await home.ok(["vm", "run", "--rm", "--quiet", ...smallVm, "--", "id", "-u"]);
  assert.equal(ran.stdout, "0\n");
  assert.deepEqual(await home.vms(), []);

  // Memory is read out of the VMM's process, from a template that this user has, too.
  await home.ok(["template", "warm", ...smallMachine]);
  await home.ok(["vm", "create", "--name", "box", ...smallVm]);
  await home.ok(["vm", "cp", join(home.path, "tiny.tar"), "box:/dev/shm/tiny.tar"]);
  const { size } = statSync(join(home.path, "tiny.tar"));
  await home.ok(["vm", "snapshot", "create", "box", "before"]);
  await home.ok(["vm", "fork", "box", "--name", "kid"]);
  await home.ok(["vm", "pause", "box"]);
  await home.ok(["vm", "resume", "box"]);
  await home.ok(["vm", "restore", "box", "before"]);
  for (const vm of ["box", "kid"]) {
    const counted = await home.ok(["vm", "exec", vm, "--", "stat", "-c", "%s", "/dev/shm/tiny.tar"]);
    assert.equal(counted.stdout, `${size}\n`);
  }
  const kinds = (await home.vms()).map(({ name, lastStart }) => [name, lastStart?.kind]);
  assert.deepEqual(kinds, [
    ["kid", "snapshot"],
    ["box", "snapshot"],
  ]);
  // Kernels are public, and keep the modes of their package.
  const places = ["state", "cache", "run"].map((name) => join(home.path, name));
  const others = ["-path", "*/state/kernels", "-prune", "-o", "!", "-type", "l", "-perm", "/077", "-print"];
  const open = execFileSync("find", [...places, ...others]);
  assert.equal(open.toString(), "");

  const owners = execFileSync("find", [home.path, "!", "-user", String(nobody)], { encoding: "utf8" });
  assert.equal(owners, "");
});
