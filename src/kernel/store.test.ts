// The kernel store: what counts as a kernel, where it may come from, and that failures leave nothing behind.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { silentLogger } from "../lib/log.ts";
import { quietProgress } from "../lib/progress.ts";
import { openState } from "../state/open.ts";
import type { State } from "../state/open.ts";
import { inspectKernelFile } from "./kernel-file.ts";
import { openKernelStore } from "./store.ts";
import type { KernelStore } from "./store.ts";
import { bzImage, virtioModules, vmlinux, writeTree } from "./testdata/fixtures.ts";

const originalPath = process.env["PATH"];
const release = "6.1.0-test";
let root: string;
let kernelsDir: string;
let state: State;
let users: Record<string, string[]>;
let store: KernelStore;

const quiet = () => quietProgress(new AbortController().signal);
const importAs = (name: string, path: string, force = false) => store.importFrom({ path, name, force }, quiet());

/** A directory with a kernel and its modules. */
function kernelTree(name: string, content = bzImage(release)): string {
  const path = join(root, name);
  const modules = Object.entries(virtioModules).map(
    ([file, data]) => [`lib/modules/${release}/${file}`, data] as const,
  );
  writeTree(path, { [`boot/vmlinuz-${release}`]: content, ...Object.fromEntries(modules) });
  symlinkSync("/etc", join(path, "lib/modules", release, "build"));
  return path;
}

const control = "Package: linux-image-test\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@x>\nDescription: x\n";

/** The same as a Debian package. */
function kernelPackage(name: string, content?: Buffer): string {
  const tree = kernelTree(`${name}-tree`, content);
  writeTree(tree, { "DEBIAN/control": control });
  return packageOf(tree, name);
}

function packageOf(tree: string, name: string): string {
  const path = join(root, `${name}.deb`);
  const built = spawnSync("dpkg-deb", ["--build", "--root-owner-group", tree, path], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  return path;
}

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-kernels-"));
  kernelsDir = join(root, "kernels");
  state = openState(join(root, "banger.db"));
  users = {};
  store = await openKernelStore({
    paths: { kernelsDir },
    table: state.kernels,
    usedBy: (id) => users[id] ?? [],
    log: silentLogger,
  });
});
afterEach(() => {
  process.env["PATH"] = originalPath;
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

describe("kernels", () => {
  test("a directory and a package of the same kernel give the same content", async () => {
    const fromDirectory = await importAs("one", kernelTree("tree"));
    assert.equal(fromDirectory.version, release);
    assert.deepEqual(readFileSync(fromDirectory.kernelPath), bzImage(release));
    const modules = join(fromDirectory.modulesDir ?? "", "lib/modules", release);
    assert.ok(existsSync(join(modules, "kernel/drivers/virtio/virtio.ko")));
    assert.ok(!existsSync(join(modules, "build")), "a link that leads out was kept");
    assert.deepEqual(readdirSync(fromDirectory.modulesDir ?? "").toSorted(), ["kernel", "lib", "manifest.json"]);

    const path = kernelPackage("package");
    await assert.rejects(importAs("two", path), { code: "kernel.exists", message: /"one"/ });
    const moved = await importAs("two", path, true);
    assert.deepEqual([moved.id, moved.name], [fromDirectory.id, "two"]);
    assert.deepEqual(store.list(), [moved]);
    assert.deepEqual(readdirSync(kernelsDir), [moved.id]);
  });

  test("a kernel with everything built in needs no modules", async () => {
    writeTree(join(root, "plain"), { vmlinux: vmlinux("6.9.1") });
    const kernel = await importAs("plain", join(root, "plain"));
    assert.deepEqual([kernel.version, kernel.modulesDir], ["6.9.1", null]);
  });

  test("references, replacing and deleting", async () => {
    assert.throws(() => store.resolve("debian-bookworm-cloud"), {
      code: "kernel.not-found",
      hint: "banger kernel pull debian-bookworm-cloud",
    });
    const first = await importAs("mine", kernelTree("first"));
    await assert.rejects(importAs("mine", kernelTree("second", bzImage(release, 8192))), { code: "kernel.exists" });
    users[first.id] = ["swift-otter"];
    await assert.rejects(store.delete("mine"), { code: "kernel.in-use", message: /"swift-otter"/ });
    const second = await importAs("mine", join(root, "second"), true);
    assert.equal(store.resolve("mi").id, second.id);
    assert.equal(store.resolve(first.id).name, first.id.slice(0, 12));
    users = {};
    await store.delete("mine");
    await store.delete(first.id);
    assert.deepEqual(readdirSync(kernelsDir), []);
    assert.ok(store.inCatalog("debian-bookworm-cloud") && !store.inCatalog("mine"));
  });

  test("what cannot be a kernel is refused with the reason, and leaves nothing", async () => {
    const refused = async (path: string, message: RegExp) => {
      await assert.rejects(importAs("bad", path), { code: "kernel.invalid", message });
      assert.deepEqual(readdirSync(kernelsDir), []);
    };
    mkdirSync(join(root, "empty"));
    await refused(join(root, "empty"), /has no kernel/);
    await refused(kernelTree("cut", bzImage(release).subarray(0, 3000)), /cut short: 2\.9 KiB of 5\.5 KiB/);
    await refused(kernelTree("text", Buffer.from("a text, not a kernel ".repeat(100))), /it is no Linux kernel/);
    await refused(kernelTree("nothing", Buffer.alloc(0)), /it is empty/);
    await refused(kernelTree("other", bzImage("6.2.0-other")), /is release 6\.2\.0-other, but .* for 6\.1\.0-test/);
    const two = kernelTree("two");
    writeTree(two, { bzImage: bzImage(release) });
    await refused(two, /more than one kernel: bzImage, boot\/vmlinuz/);
    writeFileSync(join(root, "broken.deb"), readFileSync(kernelPackage("sound")).subarray(0, 900));
    await refused(join(root, "broken.deb"), /broken\.deb" is neither a directory nor a sound \.deb/);
    await assert.rejects(importAs("bad", join(root, "nowhere")), { code: "file.not-found" });
  });

  test("links in a package lead nowhere: what they name on this host stays where it is", async () => {
    const host = join(root, "host");
    writeTree(host, {
      [`vmlinuz-${release}`]: bzImage(release),
      [`modules/${release}/kernel/x.ko`]: "module of this host",
    });
    const tree = join(root, "hostile");
    writeTree(tree, { "DEBIAN/control": control, "lib/empty": "" });
    symlinkSync(host, join(tree, "boot"));
    symlinkSync(join(host, "modules"), join(tree, "lib/modules"));
    await assert.rejects(importAs("hostile", packageOf(tree, "hostile")), {
      code: "kernel.invalid",
      message: /has no kernel/,
    });
    assert.deepEqual(readFileSync(join(host, `vmlinuz-${release}`)), bzImage(release));
    assert.equal(readFileSync(join(host, `modules/${release}/kernel/x.ko`), "utf8"), "module of this host");
    assert.deepEqual(readdirSync(kernelsDir), []);
  });

  test("a named pipe is no kernel, and nobody waits for its writer", async () => {
    assert.equal(spawnSync("mkfifo", [join(root, "pipe")]).status, 0);
    await assert.rejects(inspectKernelFile(join(root, "pipe")), { code: "kernel.invalid", message: /not a regular/ });
  });

  test("kernel files tell their format, release and processor", async () => {
    writeTree(root, { a: bzImage("6.1.0"), b: vmlinux("6.6.6"), c: vmlinux("6.6.6", 183), d: vmlinux("6.6.6", 8) });
    const expected = { format: "bzImage", release: "6.1.0", architecture: "amd64" };
    assert.deepEqual(await inspectKernelFile(join(root, "a")), expected);
    assert.deepEqual(await inspectKernelFile(join(root, "b")), { ...expected, format: "vmlinux", release: "6.6.6" });
    assert.equal((await inspectKernelFile(join(root, "c"))).architecture, "arm64");
    await assert.rejects(inspectKernelFile(join(root, "d")), { code: "kernel.invalid", message: /another processor/ });
  });
});

describe("pulls from the distribution", () => {
  /** Puts programs in the place of apt's: what they answer lies in files beside them. */
  function fakeApt(): string {
    const tools = join(root, "tools");
    mkdirSync(tools);
    const note = `echo "$(basename "$0") $*" >>"${tools}/calls"`;
    const cache = `#!/bin/sh\n${note}\n[ -e "${tools}/lists" ] || { echo "E: No packages found" >&2; exit 100; }
echo linux-image-cloud-amd64
echo "  Depends: linux-image-6.1.0-test-cloud-amd64"\n`;
    const get = `#!/bin/sh\n${note}
case "$*" in
  *" update") [ -e "${tools}/online" ] || { echo "E: no network" >&2; exit 100; }; touch "${tools}/lists" ;;
  *" download "*) [ -e "${tools}/package.deb" ] || { echo "E: no such file" >&2; exit 100; }; cp "${tools}/package.deb" linux.deb ;;
esac\n`;
    writeFileSync(join(tools, "apt-cache"), cache, { mode: 0o755 });
    writeFileSync(join(tools, "apt-get"), get, { mode: 0o755 });
    process.env["PATH"] = `${tools}:${originalPath}`;
    return tools;
  }
  const pull = () => store.pull("debian-bookworm-cloud", {}, quiet());
  const calls = (tools: string) => readFileSync(join(tools, "calls"), "utf8");

  test("the newest package is fetched once for all who want it", async () => {
    const tools = fakeApt();
    writeFileSync(join(tools, "lists"), "");
    writeFileSync(join(tools, "package.deb"), readFileSync(kernelPackage("package")));
    const [first, second] = await Promise.all([pull(), pull()]);
    assert.deepEqual(first, second);
    assert.equal(first.version, release);
    assert.equal(calls(tools).match(/ download linux-image-6\.1\.0-test-cloud-amd64/g)?.length, 1);
    assert.doesNotMatch(calls(tools), / update/);
    assert.deepEqual(readdirSync(kernelsDir), [first.id]);
    assert.equal(store.catalog().find((entry) => entry.name === first.name)?.present, true);
  });

  test("package lists of its own are fetched when the host has none", async () => {
    const tools = fakeApt();
    writeFileSync(join(tools, "online"), "");
    writeFileSync(join(tools, "package.deb"), readFileSync(kernelPackage("package")));
    await pull();
    assert.match(calls(tools), /Dir::State::lists=.*kernels\/staging-.* update/);
  });

  test("without network or package the error says what to do, and nothing is left", async () => {
    const tools = fakeApt();
    const offline = { code: "kernel.fetch-failed", message: /\(update\)/, hint: "sudo apt-get update" };
    await assert.rejects(pull(), offline);
    writeFileSync(join(tools, "lists"), "");
    await assert.rejects(pull(), { code: "kernel.fetch-failed", message: /linux-image-6\.1\.0-test-cloud-amd64/ });
    await assert.rejects(store.pull("none", {}, quiet()), {
      code: "kernel.not-found",
      message: /debian-bookworm-cloud/,
    });
    assert.deepEqual(readdirSync(kernelsDir), []);
  });
});
