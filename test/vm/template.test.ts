// Memory templates with real VMs: every start after the first is a restore, what comes out of one template is never the same
// machine twice, nothing of a VM is in it, and one that is bad costs a boot.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { delimiter, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import type { TemplateRecord, VmRecord } from "../../src/api/records.ts";
import { findTool } from "../../src/lib/run.ts";
import { Home, smallVm } from "../support/home.ts";
import { smallMachine } from "../support/seed.ts";
import { search } from "../support/byte-search.ts";
import { assertDifferentMachines } from "../support/different-machines.ts";
import { commandOf, isRunning } from "../support/processes.ts";
import { until } from "../support/until.ts";

const templatesOf = (home: Home) => home.json<TemplateRecord[]>(["template", "list"]);
const show = (home: Home, name: string) => home.json<VmRecord>(["vm", "show", name]);
const stored = (home: Home) => readdirSync(join(home.path, "cache/templates"));
const inGuest = async (home: Home, name: string, script: string) =>
  (await home.ok(["vm", "exec", name, "--", "sh", "-c", script])).stdout;
const warnings = (home: Home) =>
  readFileSync(join(home.path, "state/bangerd.log"), "utf8")
    .split("\n")
    .filter((line) => line.includes('"level":"warn"') || line.includes('"level":"error"'))
    .map((line) => (JSON.parse(line) as { msg: string }).msg);
/** The machine of a template that is being made. */
const maker = (home: Home) =>
  until("a template to be made", () => home.processes().find(({ command }) => command.includes("-template-")));

/** The records of a home, read beside its daemon. */
function openDatabase(home: Home): { hostKeys(): { name: string; host_key_pem: string }[] } & Disposable {
  const database = new DatabaseSync(join(home.path, "state/banger.db"), { readOnly: true });
  return {
    hostKeys: () =>
      database
        .prepare("SELECT name, host_key_pem FROM vms")
        .all()
        .map((row) => ({ name: String(row["name"]), host_key_pem: String(row["host_key_pem"]) })),
    [Symbol.dispose]: () => database.close(),
  };
}

/** How many starts of each kind are known. */
async function startsOf(home: Home): Promise<Map<string, number>> {
  const starts = await home.json<{ kind: string; count: number }[]>(["stats"]);
  return new Map(starts.map(({ kind, count }) => [kind, count]));
}

/** The template of the small VM, in files of this home's own. */
async function ownTemplate(home: Home): Promise<string> {
  await home.ok(["template", "prune", "--all"]);
  await home.ok(["template", "warm", ...smallMachine]);
  return join(home.path, "cache/templates", stored(home)[0] ?? assert.fail("no template"));
}

describe("starts from templates", { concurrency: false }, () => {
  /** Long enough to be found in memory only where they were put. */
  const names = ["the-first-vm-of-this-test", "the-second-vm-of-this-test"] as const;
  let home: Home;
  /** The seed may have started VMs, too. */
  let startsBefore: Map<string, number>;
  before(async () => {
    home = new Home({ seeded: true });
    await home.ok(["template", "prune", "--all"]);
    startsBefore = await startsOf(home);
  });
  after(() => home[Symbol.asyncDispose]());

  test("the first VM of a shape boots, the next ones are restored; a boot can be asked for", async () => {
    await home.ok(["vm", "create", "--name", names[0], ...smallVm]);
    assert.equal((await show(home, names[0])).lastStart?.kind, "cold");
    const [template] = await until("the template", async () => {
      const made = await templatesOf(home);
      return made.length > 0 ? made : undefined;
    });
    assert.deepEqual([template?.vcpus, template?.memoryMib], [1, 256]);
    assert.match(template?.vmm ?? "", /^qemu \d+\.\d+.* (tcg|kvm)$/);
    for (const path of readdirSync(join(home.path, "cache/templates", template?.id ?? ""), { recursive: true })) {
      const info = statSync(join(home.path, "cache/templates", template?.id ?? "", String(path)));
      assert.equal(info.mode & 0o777, 0o600);
    }
    await home.ok(["vm", "create", "--name", names[1], ...smallVm]);
    const { lastStart } = await show(home, names[1]);
    assert.deepEqual(
      [lastStart?.kind, lastStart?.reason, lastStart?.phases.map(({ name }) => name)],
      ["template", "", ["prepare", "spawn", "load", "resume", "hello", "configure"]],
    );
    await home.ok(["vm", "restart", names[1], "--cold"]);
    assert.equal((await show(home, names[1])).lastStart?.kind, "cold");
    await home.ok(["vm", "restart", names[1]]);
    assert.equal((await show(home, names[1])).lastStart?.kind, "template");
    assert.deepEqual(warnings(home), []);
  });

  test("VMs of one template are different machines", async () => {
    await home.ok(["vm", "restart", names[0]]);
    assert.equal((await show(home, names[0])).lastStart?.kind, "template");
    await assertDifferentMachines(home, names);
  });

  test("VMs of one template see the sizes of their own disks", async () => {
    const sizes = ["--disk-size", "320M", "--system-overlay-size", "288M"];
    await home.ok(["vm", "create", "--name", "sized", ...smallMachine, ...sizes]);
    const { dir, lastStart } = await show(home, "sized");
    assert.equal(lastStart?.kind, "template");
    const [image] = readdirSync(join(home.path, "state/images"));
    const files = [
      join(home.path, "state/images", image ?? "", "rootfs.ext4"),
      join(dir, "overlay.ext4"),
      join(dir, "work.ext4"),
    ];
    const seen = await inGuest(home, "sized", "cd /sys/block; for d in vd?; do echo $(cat $d/size $d/ro); done");
    const wanted = files.map((file, index) => `${statSync(file).size / 512} ${index === 0 ? 1 : 0}`);
    assert.deepEqual(seen.trim().split("\n"), wanted);
    await home.ok(["vm", "delete", "sized"]);
  });

  test("nothing of a VM is in a template", async () => {
    const { id } = (await templatesOf(home))[0] ?? assert.fail("no template");
    const files = ["memory.img", "state.bin"].map((name) => join(home.path, "cache/templates", id, name));
    const key = readFileSync(join(home.path, "state/ssh/id_ed25519.pub"), "utf8").split(" ")[1] ?? "";
    const secrets = new Map<string, Buffer>([["public client key", Buffer.from(key)]]);
    const environment = "TOKEN=never-in-a-template-1f0c9a";
    await home.ok(["vm", "exec", "--env", environment, names[0], "--", "true"]);
    secrets.set("environment", Buffer.from(environment));
    using database = openDatabase(home);
    for (const { name, host_key_pem: pem } of database.hostKeys()) {
      const seed = createPrivateKey(pem).export({ format: "jwk" }).d ?? assert.fail("no private key");
      secrets.set(`${name}: private host key`, Buffer.from(seed, "base64url"));
      secrets.set(`${name}: private host key as text`, Buffer.from(pem.split("\n")[1] ?? assert.fail("no PEM")));
    }
    assert.ok(secrets.has(`${names[1]}: private host key`));
    secrets.set("raw client key", Buffer.from(key, "base64").subarray(-32));
    for (const name of names) {
      const vm = await show(home, name);
      const pin = readFileSync(join(vm.dir, "known_hosts"), "utf8").trim().split(" ").at(-1) ?? "";
      const machineId = await inGuest(home, name, "cat /etc/machine-id");
      secrets.set(`${name}: name`, Buffer.from(name));
      secrets.set(`${name}: id`, Buffer.from(vm.id));
      secrets.set(`${name}: boot id`, Buffer.from(vm.bootId ?? assert.fail("no boot id")));
      secrets.set(`${name}: host key`, Buffer.from(pin));
      secrets.set(`${name}: raw host key`, Buffer.from(pin, "base64").subarray(-32));
      secrets.set(`${name}: machine id`, Buffer.from(machineId.trim()));
    }
    // The control: what is known to be there is found.
    const marker = Buffer.from("banger.agent");
    const found = new Set(files.flatMap((file) => search(file, new Map([...secrets, ["marker", marker]]))));
    assert.deepEqual([...found], ["marker"]);
  });

  test("statistics tell both kinds of starts apart", async () => {
    const after = await startsOf(home);
    assert.equal((after.get("cold") ?? 0) - (startsBefore.get("cold") ?? 0), 2);
    assert.ok((after.get("template") ?? 0) - (startsBefore.get("template") ?? 0) >= 3);
  });

  test("a kernel takes its templates with it", async () => {
    await home.ok(["vm", "delete", ...names]);
    assert.equal(stored(home).length, 1);
    await home.ok(["kernel", "delete", "debian-bookworm-cloud"]);
    assert.deepEqual(stored(home), []);
  });
});

describe("templates that are bad", { concurrency: false }, () => {
  let home: Home;
  before(() => {
    home = new Home({ seeded: true });
  });
  after(() => home[Symbol.asyncDispose]());

  /** How a template is spoiled; each start after it is a boot that works. */
  const damages: Record<string, (directory: string) => void> = {
    "device state that is garbage": (directory) =>
      writeFileSync(join(directory, "state.bin"), Buffer.alloc(200_000, 7)),
    "device state that was cut": (directory) => truncateSync(join(directory, "state.bin"), 5000),
    "memory of another size": (directory) => truncateSync(join(directory, "memory.img"), 128 * 1024 * 1024),
    "memory that is gone": (directory) => rmSync(join(directory, "memory.img")),
    "memory that was overwritten": (directory) => {
      const fd = openSync(join(directory, "memory.img"), "r+");
      const garbage = Buffer.alloc(1024 * 1024, 0xff);
      for (let at = 0; at < 64; at++) writeSync(fd, garbage, 0, garbage.length, at * garbage.length);
      closeSync(fd);
    },
  };
  for (const [what, damage] of Object.entries(damages)) {
    test(`${what}: one boot, one line in the log, and the template goes`, async () => {
      const directory = await ownTemplate(home);
      damage(directory);
      const before = warnings(home).length;
      await home.ok(["vm", "create", "--name", "web", ...smallVm]);
      const { lastStart } = await show(home, "web");
      assert.equal(lastStart?.kind, "cold");
      assert.match(lastStart?.reason ?? "", /^its template could not be restored: ./);
      assert.deepEqual(warnings(home).slice(before), ["a template could not be restored: booting instead"]);
      assert.equal(await inGuest(home, "web", "hostname"), "web\n");
      assert.equal(existsSync(directory), false);
      await home.ok(["vm", "delete", "web"]);
    });
  }

  test("another version of the VMM: the template is not taken, and is replaced", async () => {
    const old = await ownTemplate(home);
    await home.ok(["daemon", "stop"]);
    const real = findTool("qemu-system-x86_64") ?? assert.fail("no QEMU");
    const bin = join(home.path, "bin");
    mkdirSync(bin);
    const version = execFileSync(real, ["--version"], { encoding: "utf8" }).replace(/version \S+/, "version 99.1.0");
    const wrapper = `#!/bin/sh\n[ "$1" = --version ] && { cat <<'END'\n${version}END\nexit; }\nexec ${real} "$@"\n`;
    writeFileSync(join(bin, "qemu-system-x86_64"), wrapper, { mode: 0o755 });
    const env = { PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}` };
    await home.ok(["vm", "create", "--name", "web", ...smallVm], { env });
    const { lastStart } = await show(home, "web");
    assert.deepEqual([lastStart?.kind, lastStart?.reason], ["cold", ""]);
    await until("the old template to be replaced", async () => {
      const [only, ...more] = await templatesOf(home);
      return only?.vmm.includes("99.1.0") && more.length === 0 && !existsSync(old) ? true : undefined;
    });
    await home.ok(["vm", "restart", "web"], { env });
    assert.equal((await show(home, "web")).lastStart?.kind, "template");
    await home.ok(["vm", "delete", "web"]);
    await home.ok(["daemon", "stop"]);
  });
});

describe("while a template is made", { concurrency: false }, () => {
  test("kill -9 of the daemon: the next one ends the machine and removes what it left", async () => {
    await using home = new Home({ seeded: true });
    await home.ok(["template", "prune", "--all"]);
    const warming = home.start(["template", "warm", ...smallMachine]);
    const { pid } = await maker(home);
    const daemon = await home.json<{ pid: number }>(["daemon", "status"]);
    process.kill(daemon.pid, "SIGKILL");
    await new Promise((resolve) => warming.once("close", resolve));
    await home.ok(["vm", "list"]);
    await until("the machine to end", () => (isRunning(pid) ? undefined : true));
    assert.deepEqual(stored(home), []);
    await home.ok(["template", "warm", ...smallMachine]);
    assert.equal(stored(home).length, 1);
  });

  test("the end of the daemon ends it at once, and leaves nothing", async () => {
    await using home = new Home({ seeded: true });
    await home.ok(["template", "prune", "--all"]);
    await home.ok(["vm", "create", "--name", "web", ...smallVm]);
    const { pid } = await maker(home);
    await home.ok(["daemon", "stop"]);
    assert.equal(isRunning(pid), false, commandOf(pid));
    assert.deepEqual(stored(home), []);
    assert.equal((await show(home, "web")).state, "running");
    assert.equal(await inGuest(home, "web", "hostname"), "web\n");
  });
});
