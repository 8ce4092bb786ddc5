// A newer program meets the daemon of an older one while a VM runs: the daemon is replaced, the VM goes on.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Home, root, smallVm } from "../support/home.ts";
import { isRunning } from "../support/processes.ts";
import { until } from "../support/until.ts";

interface Status {
  pid: number;
  builtAt: number;
}

/** A home that first meets a copy of this program that was built earlier. */
class UpgradedHome extends Home {
  readonly old = mkdtempSync(join(tmpdir(), "banger-old-"));
  isUpgraded = false;

  /** Makes the copy, with another time of its build. */
  install(builtAt: number): void {
    for (const name of ["bin", "dist"]) cpSync(join(root, name), join(this.old, name), { recursive: true });
    rmSync(join(this.old, "dist/node"));
    symlinkSync(process.execPath, join(this.old, "dist/node"));
    const programs = readdirSync(join(this.old, "dist"), { recursive: true, encoding: "utf8" });
    let replaced = 0;
    for (const name of programs.filter((one) => one.endsWith(".mjs") || one.endsWith(".js"))) {
      const file = join(this.old, "dist", name);
      const text = readFileSync(file, "utf8");
      if (!text.includes(String(builtAt))) continue;
      writeFileSync(file, text.replaceAll(String(builtAt), String(builtAt - 1000)));
      replaced++;
    }
    assert.ok(replaced > 0, "the time of the build is not in the programs");
  }

  protected override command(args: readonly string[]): [string, ...string[]] {
    const [program, ...rest] = super.command(args);
    return [this.isUpgraded ? program : join(this.old, "bin/banger"), ...rest];
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.isUpgraded = true;
    await super[Symbol.asyncDispose]();
    rmSync(this.old, { recursive: true });
  }
}

test("the daemon is replaced once it is idle, and the VM goes on", async () => {
  await using home = new UpgradedHome({ seeded: true });
  const status = () => home.json<Status>(["daemon", "status"]);
  home.isUpgraded = true;
  await home.ok(["vm", "list"]);
  const { builtAt } = await status();
  await home.ok(["daemon", "stop"]);
  home.install(builtAt);
  home.isUpgraded = false;

  await home.ok(["vm", "create", "--name", "web", ...smallVm]);
  const bootId = async () =>
    (await home.ok(["vm", "exec", "web", "--", "cat", "/proc/sys/kernel/random/boot_id"])).stdout;
  const [vm] = await home.vms();
  const before = await bootId();
  const old = await status();
  assert.equal(old.builtAt, builtAt - 1000);
  const held = home.start(["vm", "exec", "web", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
  const heldEnded = new Promise((resolve) => held.once("close", resolve));
  await new Promise<void>((resolve) => held.stdout?.once("data", () => resolve()));

  home.isUpgraded = true;
  // Its programs are gone from the disk, as after an upgrade in place.
  rmSync(join(home.old, "dist/chunks"), { recursive: true });
  const busy = await home.ok(["vm", "exec", "web", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
  assert.equal(busy.stdout, before);
  assert.match(busy.stderr, /older than this program and busy/);
  assert.equal((await status()).pid, old.pid);

  held.kill("SIGKILL");
  await heldEnded;
  await until("the session to be over", async () => {
    assert.equal(await bootId(), before);
    return (await status()).pid === old.pid ? undefined : true;
  });
  assert.equal((await status()).builtAt, builtAt);
  assert.equal(isRunning(vm?.pid ?? 0), true);
  assert.deepEqual(
    (await home.vms()).map(({ name, state, pid }) => [name, state, pid]),
    [["web", "running", vm?.pid]],
  );
});
