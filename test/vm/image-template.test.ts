// Templates of images with real VMs: from the third start on a new VM finds its root mounted, is nobody else for it, keeps what is written to its
// disks, and goes back to the template of its shape when it starts again.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TemplateRecord, VmRecord } from "../../src/api/records.ts";
import { search } from "../support/byte-search.ts";
import { assertDifferentMachines } from "../support/different-machines.ts";
import { Home, smallVm } from "../support/home.ts";
import { busyboxTar } from "../support/init-images.ts";
import { smallMachine } from "../support/seed.ts";
import { until } from "../support/until.ts";

const warmed = ["template", "warm", "--image", "debian-bookworm", ...smallVm];
const templatesOf = (home: Home) => home.json<TemplateRecord[]>(["template", "list"]);
const show = (home: Home, name: string) => home.json<VmRecord>(["vm", "show", name]);
const create = (home: Home, name: string, ...flags: string[]) =>
  home.ok(["vm", "create", "--name", name, ...smallVm, ...flags]);
const inGuest = async (home: Home, name: string, script: string) =>
  (await home.ok(["vm", "exec", name, "--", "sh", "-c", script])).stdout;
const kindOf = async (home: Home, name: string) => (await show(home, name)).lastStart?.kind;
const directoryOf = (home: Home, id: string) => join(home.path, "cache/templates", id);

describe("VMs from a template of their image", { concurrency: false }, () => {
  let home: Home;
  let template: TemplateRecord;
  before(async () => {
    home = new Home({ seeded: true });
    await home.ok(["template", "prune", "--all"]);
    await home.ok(["template", "warm", ...smallMachine]);
  });
  after(() => home[Symbol.asyncDispose]());

  test("two starts of an image make its template, the third is restored from it", async () => {
    await create(home, "first");
    await create(home, "second");
    assert.deepEqual(await Promise.all([kindOf(home, "first"), kindOf(home, "second")]), ["template", "template"]);
    template = await until("the template of the image", async () =>
      (await templatesOf(home)).find(({ root }) => root !== null),
    );
    assert.equal(template.root?.image.name, "debian-bookworm");
    assert.deepEqual(readdirSync(directoryOf(home, template.id)).toSorted(), [
      ...["manifest.json", "memory.img", "overlay.recipe", "state.bin", "work.recipe"],
    ]);
    for (const name of readdirSync(directoryOf(home, template.id))) {
      assert.equal(statSync(join(directoryOf(home, template.id), name)).mode & 0o777, 0o600);
    }
    await create(home, "third");
    const { lastStart } = await show(home, "third");
    assert.deepEqual(
      [lastStart?.kind, lastStart?.reason, lastStart?.phases.map(({ name }) => name)],
      ["image", "", ["prepare", "spawn", "load", "resume", "hello", "configure"]],
    );
    const { length } = await home.json<unknown[]>(["vm", "list"]);
    assert.equal(length, 3);
  });

  test("they are the machines that others are: the same mounts and processes, and nobody else's name", async () => {
    await Promise.all([create(home, "fourth"), create(home, "fifth")]);
    const same = (name: string) =>
      inGuest(
        home,
        name,
        "cat /proc/mounts; find / /root /var/lib -maxdepth 1 -path /proc/\\* -prune -o -printf '%M %u %g %p\\n' | sort",
      );
    assert.equal(await same("fourth"), await same("second"));
    // Those of the kernel have no program. No pipe: its programs would be there or not yet.
    const programs = async (name: string) =>
      (await inGuest(home, name, "readlink /proc/[0-9]*/exe; :")).split("\n").toSorted();
    assert.deepEqual(await programs("fourth"), await programs("second"));
    await assertDifferentMachines(home, ["fourth", "fifth"]);
  });

  test("nothing of a VM is in it", async () => {
    const secrets = new Map<string, Buffer>();
    // Two that ran before it was made, and one that came of it.
    for (const name of ["first", "second", "third"]) {
      const { id, bootId, dir } = await show(home, name);
      secrets.set(`${name}: id`, Buffer.from(id));
      secrets.set(`${name}: boot id`, Buffer.from(bootId ?? assert.fail("no boot id")));
      const pin = readFileSync(join(dir, "known_hosts"), "utf8").trim().split(" ").at(-1) ?? "";
      secrets.set(`${name}: host key`, Buffer.from(pin));
      secrets.set(`${name}: raw host key`, Buffer.from(pin, "base64").subarray(-32));
      secrets.set(`${name}: machine id`, Buffer.from((await inGuest(home, name, "cat /etc/machine-id")).trim()));
    }
    const key = readFileSync(join(home.path, "state/ssh/id_ed25519.pub"), "utf8").split(" ")[1] ?? "";
    secrets.set("client key", Buffer.from(key));
    const files = readdirSync(directoryOf(home, template.id)).map((name) => join(directoryOf(home, template.id), name));
    const found = new Set(
      files.flatMap((file) => search(file, new Map([...secrets, ["marker", Buffer.from("banger.agent")]]))),
    );
    assert.deepEqual([...found], ["marker"]);
  });

  test("what is written stays over a stop and a start, and the disks are clean", async () => {
    await inGuest(home, "third", "echo kept >/root/file; echo kept >/etc/file; mkdir /var/lib/docker/x");
    await home.ok(["vm", "stop", "third"]);
    const { dir } = await show(home, "third");
    for (const name of ["overlay.ext4", "work.ext4"])
      execFileSync("e2fsck", ["-fn", join(dir, name)], { stdio: "pipe" });
    await home.ok(["vm", "start", "third"]);
    assert.equal(await kindOf(home, "third"), "template");
    assert.equal(await inGuest(home, "third", "cat /root/file /etc/file; ls /var/lib/docker"), "kept\nkept\nx\n");
    // Other VMs of the template have disks of their own.
    await create(home, "sixth");
    assert.equal(await kindOf(home, "sixth"), "image");
    assert.equal(
      await inGuest(home, "sixth", "ls /root /var/lib/docker; ls /etc/file 2>&1 | wc -l"),
      "/root:\n\n/var/lib/docker:\n1\n",
    );
  });

  test("they can be forked, paused and resumed like any other", async () => {
    await inGuest(home, "sixth", "echo mine >/root/file");
    await home.ok(["vm", "fork", "sixth", "--name", "kid"]);
    await home.ok(["vm", "pause", "sixth"]);
    await home.ok(["vm", "resume", "sixth"]);
    for (const name of ["sixth", "kid"])
      assert.equal(await inGuest(home, name, "cat /root/file; hostname"), `mine\n${name}\n`);
  });

  test("a damaged one costs a boot; other sizes of disks have none; a boot can be asked for", async () => {
    await create(home, "booted", "--cold");
    await home.ok(["vm", "create", "--name", "larger", ...smallVm.slice(0, 4), "--disk-size", "300M"]);
    assert.deepEqual(await Promise.all([kindOf(home, "booted"), kindOf(home, "larger")]), ["cold", "template"]);
    truncateSync(join(directoryOf(home, template.id), "state.bin"), 5000);
    await create(home, "spoiled");
    const { lastStart } = await show(home, "spoiled");
    assert.equal(lastStart?.kind, "cold");
    assert.match(lastStart?.reason ?? "", /^its template could not be restored: ./);
    assert.equal(await inGuest(home, "spoiled", "hostname; ls /root"), "spoiled\n");
    assert.deepEqual(
      (await templatesOf(home)).map(({ root }) => root),
      [null],
    );
  });

  test("what the image's own programs leave running is not in it", async () => {
    const work = mkdtempSync(join(tmpdir(), "banger-restless-"));
    try {
      const archive = busyboxTar(work, "");
      const root = join(work, "root");
      rmSync(join(root, "bin/true"));
      const restless = "/bin/busybox setsid /bin/sleep 100000 </dev/null >/dev/null 2>&1 &";
      writeFileSync(join(root, "bin/true"), `#!/bin/sh\n${restless}\necho ran >>/ran\n`, { mode: 0o755 });
      execFileSync("tar", ["-cf", archive, "--owner=0", "--group=0", "-C", root, "."]);
      await home.ok(["image", "import", "--name", "restless", archive]);
    } finally {
      rmSync(work, { recursive: true });
    }
    await home.ok(["template", "warm", "--image", "restless", ...smallVm]);
    await create(home, "calm", "--image", "restless");
    assert.equal(await kindOf(home, "calm"), "image");
    const seen = () => inGuest(home, "calm", "cat /ran; cat /proc/[0-9]*/cmdline");
    const before = await seen();
    assert.match(before, /^ran\n/);
    assert.doesNotMatch(before, /100000/);
    // The control: in a VM that runs, it stays.
    await home.ok(["vm", "exec", "calm", "--", "true"]);
    assert.match(await seen(), /^ran\nran\n[^]*100000/);
    await home.ok(["vm", "delete", "calm"]);
    await home.ok(["image", "delete", "restless"]);
  });

  test("an image takes its template with it", async () => {
    const { stdout } = await home.ok([...warmed, "--quiet"]);
    const id = stdout.trim();
    assert.ok((await templatesOf(home)).some((one) => one.id === id && one.root !== null));
    await home.ok(["vm", "delete", ...(await home.json<VmRecord[]>(["vm", "list", "--all"])).map(({ name }) => name)]);
    await home.ok(["image", "delete", "debian-bookworm"]);
    assert.deepEqual(
      (await templatesOf(home)).map(({ root }) => root),
      [null],
    );
  });
});
