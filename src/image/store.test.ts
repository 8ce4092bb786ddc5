// The image store: names, references, replacing, sharing of work, and that failures leave nothing behind.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { BangerError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { quietProgress } from "../lib/progress.ts";
import type { Progress } from "../lib/progress.ts";
import { openState } from "../state/open.ts";
import type { State } from "../state/open.ts";
import { until } from "../../test/support/until.ts";
import type { ImageRecipe } from "./catalog.ts";
import { openImageStore } from "./store.ts";
import type { ImageStore } from "./store.ts";
import { archive } from "./testdata/archive.ts";
import { assertSound, debugfs } from "./testdata/ext4.ts";
import { storePaths } from "./testdata/store-paths.ts";

const recipe: ImageRecipe = { name: "tiny", description: "", architecture: "amd64", suite: "none", packages: ["a"] };
const originalPath = process.env["PATH"];
let root: string;
let imagesDir: string;
let tools: string;
let state: State;
let users: Record<string, string[]>;
let store: ImageStore;

const open = () =>
  openImageStore({
    paths: { ...storePaths(root), imagesDir },
    table: state.images,
    usedBy: (id) => users[id] ?? [],
    log: silentLogger,
    catalog: [recipe, { ...recipe, name: "other" }],
  });
const quiet = () => quietProgress(new AbortController().signal);

/** A tar file with one file that says `text`. */
function tarOf(text: string): string {
  const path = join(root, `${text}.tar`);
  writeFileSync(path, archive([{ path: "says", data: text }]));
  return path;
}

const importAs = (name: string, text: string, force = false) =>
  store.importFrom({ path: tarOf(text), name, force }, quiet());

/**
 * Puts a program in mmdebstrap's place. It notes each start in "started"; while "hold" exists it hangs in the middle of the
 * archive, and with "fail" it gives the whole archive and then fails.
 */
function fakeBuilder(): void {
  const script = `#!/bin/sh
echo started >>"${tools}/started"
echo "I: extracting archives..." >&2
if [ -e "${tools}/hold" ]; then head -c 700 "${tools}/tar"; exec tail -n0 -f "${tools}/tar"; fi
cat "${tools}/tar"
if [ -e "${tools}/fail" ]; then echo "E: no such package" >&2; exit 25; fi
`;
  writeFileSync(join(tools, "mmdebstrap"), script, { mode: 0o755 });
  writeFileSync(join(tools, "tar"), archive([{ path: "built", data: "by the recipe" }]));
}

const starts = () => readFileSync(join(tools, "started"), "utf8").trim().split("\n").length;

/** Processes that hang in the middle of the archive. */
const hanging = () =>
  readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "latin1") === `tail\0-n0\0-f\0${tools}/tar\0`;
    } catch {
      return false;
    }
  });
const untilHanging = () => until("the build that hangs", () => (hanging().length > 0 ? true : undefined));

/** Progress that tells when the builder is at work. */
function watched(): { progress: Progress; abort: (reason: Error) => void; building: Promise<void> } {
  const abort = new AbortController();
  const building = Promise.withResolvers<void>();
  const stage = (name: string) => {
    if (name === "build") building.resolve();
  };
  return {
    progress: { signal: abort.signal, stage, bytes() {} },
    abort: (reason) => abort.abort(reason),
    building: building.promise,
  };
}

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-images-"));
  imagesDir = join(root, "images");
  tools = join(root, "tools");
  mkdirSync(tools);
  process.env["PATH"] = `${tools}:${originalPath}`;
  state = openState(join(root, "banger.db"));
  users = {};
  store = await open();
});
afterEach(() => {
  process.env["PATH"] = originalPath;
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

describe("images", () => {
  test("an imported archive is a sound image that is found by name, id and prefix", async () => {
    const image = await importAs("mine", "hello");
    assert.deepEqual(store.list(), [image]);
    for (const reference of ["mine", "mi", image.id, image.id.slice(0, 8)]) {
      assert.deepEqual(store.resolve(reference), image);
    }
    assert.equal(image.source, "tar:hello.tar");
    assertSound(image.rootfsPath);
    assert.equal(debugfs(image.rootfsPath, "cat /says"), "hello");
    assert.deepEqual(readdirSync(imagesDir), [image.id]);
    const manifest: unknown = JSON.parse(readFileSync(join(imagesDir, image.id, "manifest.json"), "utf8"));
    assert.equal((manifest as { rootfsSha256: string }).rootfsSha256, image.rootfsSha256);
    // Another daemon finds the same.
    assert.deepEqual((await open()).list(), [image]);
  });

  test("references that find nothing say what there is", async () => {
    assert.throws(() => store.resolve("tiny"), { code: "image.not-found", hint: "banger image pull tiny" });
    await importAs("debian-a", "a");
    await importAs("debian-b", "b");
    assert.throws(() => store.resolve("none"), { code: "image.not-found", message: /debian-a, debian-b/ });
    assert.throws(() => store.resolve("debian"), { code: "image.ambiguous", message: /debian-a .*debian-b/ });
    await assert.rejects(store.pull("none", {}, quiet()), { code: "image.not-found", message: /tiny, other/ });
  });

  test("a name is taken once, unless it is to move", async () => {
    const first = await importAs("mine", "first");
    await assert.rejects(importAs("mine", "second"), { code: "image.exists" });
    await assert.rejects(importAs("Not A Name", "second"), { code: "request.invalid" });
    const second = await importAs("mine", "second", true);
    assert.deepEqual(store.list(), [second]);
    assert.deepEqual(readdirSync(imagesDir), [second.id]);

    users[second.id] = ["swift-otter"];
    const third = await importAs("mine", "third", true);
    assert.equal(store.resolve("mine").id, third.id);
    assert.equal(store.resolve(second.id).name, second.id.slice(0, 12));
    assert.ok(existsSync(second.rootfsPath) && !existsSync(first.rootfsPath));
  });

  test("the same content is stored once", async () => {
    const image = await importAs("mine", "same");
    await assert.rejects(importAs("again", "same"), { code: "image.exists", message: /"mine"/ });
    assert.deepEqual(await importAs("again", "same", true), { ...image, name: "again" });
    assert.equal(store.list().length, 1);
    assert.equal((await importAs("again", "same", true)).id, image.id);
  });

  test("the same content that comes twice at once is stored once", async () => {
    const results = await Promise.allSettled(["one", "two", "three"].map((name) => importAs(name, "same")));
    assert.equal(results.filter((result) => result.status === "fulfilled").length, 1);
    for (const result of results) {
      if (result.status === "rejected") assert.equal((result.reason as BangerError).code, "image.exists");
    }
    const [image] = store.list();
    assert.equal(debugfs(image?.rootfsPath ?? "", "cat /says"), "same");
    assert.deepEqual(readdirSync(imagesDir), [image?.id]);
  });

  test("an image in use is not deleted, another is, with its files", async () => {
    const image = await importAs("mine", "text");
    users[image.id] = ["swift-otter", "calm-fox"];
    const refusal = {
      code: "image.in-use",
      message: /"swift-otter", "calm-fox"/,
      hint: "banger vm delete swift-otter calm-fox",
    };
    await assert.rejects(store.delete("mine"), refusal);
    users = {};
    await store.delete("mine");
    assert.deepEqual(readdirSync(imagesDir), []);
    await assert.rejects(store.delete("mine"), { code: "image.not-found" });
  });

  test("a broken archive leaves nothing", async () => {
    const path = join(root, "broken.tar");
    writeFileSync(path, archive([{ path: "x", data: "y".repeat(5000) }]).subarray(0, 3000));
    const broken = { code: "image.invalid", message: /broken\.tar.*cut short/ };
    await assert.rejects(store.importFrom({ path, name: "mine" }, quiet()), broken);
    const missing = { code: "file.not-found", message: /nowhere/ };
    await assert.rejects(store.importFrom({ path: "/nowhere.tar", name: "mine" }, quiet()), missing);
    assert.deepEqual(readdirSync(imagesDir), []);
    assert.deepEqual(store.list(), []);
  });

  test("opening removes what a dead process left, and keeps what is whole", async () => {
    const image = await importAs("mine", "text");
    const lost = await importAs("lost", "other");
    rmSync(join(imagesDir, lost.id), { recursive: true });
    mkdirSync(join(imagesDir, "staging-1-0123456789ab", "build"), { recursive: true });
    mkdirSync(join(imagesDir, "f".repeat(64)));
    store = await open();
    assert.deepEqual(readdirSync(imagesDir), [image.id]);
    assert.deepEqual(store.list(), [image]);
  });
});

describe("pulls", () => {
  test("a recipe is built into an image", async () => {
    fakeBuilder();
    assert.deepEqual(
      store.catalog().map((entry) => entry.present),
      [false, false],
    );
    const image = await store.pull("tiny", {}, quiet());
    assert.equal(image.source, "catalog:tiny");
    assert.equal(debugfs(image.rootfsPath, "cat /built"), "by the recipe");
    assert.deepEqual(readdirSync(join(imagesDir, image.id)).toSorted(), ["manifest.json", "rootfs.ext4"]);
    assert.deepEqual(
      store.catalog().map((entry) => entry.present),
      [true, false],
    );
    await assert.rejects(store.pull("tiny", {}, quiet()), { code: "image.exists" });
  });

  test("two that want the same image share one build", async () => {
    fakeBuilder();
    const [first, second] = await Promise.all([store.pull("tiny", {}, quiet()), store.pull("tiny", {}, quiet())]);
    assert.deepEqual(first, second);
    assert.equal(starts(), 1);
  });

  test("who leaves does not stop the others; the last one does, and nothing is left", async () => {
    fakeBuilder();
    writeFileSync(join(tools, "hold"), "");
    const one = watched();
    const two = watched();
    const first = store.pull("tiny", {}, one.progress);
    const second = store.pull("tiny", {}, two.progress);
    await one.building;
    one.abort(new BangerError("cancelled", "one leaves"));
    await assert.rejects(first, { message: "one leaves" });
    await untilHanging();
    two.abort(new BangerError("cancelled", "two leaves"));
    await assert.rejects(second, { message: "two leaves" });
    assert.deepEqual(hanging(), []);
    assert.deepEqual(readdirSync(imagesDir), []);
    // And it can be pulled at once.
    rmSync(join(tools, "hold"));
    await store.pull("tiny", {}, quiet());
  });

  test("a build that fails after its archive publishes nothing", async () => {
    fakeBuilder();
    writeFileSync(join(tools, "fail"), "");
    const failure = { code: "image.build-failed", message: /"tiny": E: no such package/ };
    await assert.rejects(store.pull("tiny", {}, quiet()), failure);
    assert.deepEqual(readdirSync(imagesDir), []);
    assert.deepEqual(store.list(), []);
  });

  test("a build ends when the daemon is killed, and the next one cleans up", async () => {
    fakeBuilder();
    writeFileSync(join(tools, "hold"), "");
    const script = `
      import { openImageStore } from ${JSON.stringify(import.meta.resolve("./store.ts"))};
      const log = { debug() {}, info() {}, warn() {}, error() {} };
      const table = { list: () => [], insert() {}, rename() {}, remove() {} };
      const catalog = [${JSON.stringify(recipe)}];
      const store = await openImageStore({ paths: { imagesDir: "images", imageTagsFile: "tags.json", insecureImagesFile: "insecure.json", imageExportsDir: "exports", cacheDir: "cache", blobsDir: "cache/blobs" }, table, usedBy: () => [], log, catalog });
      const stage = (name) => { if (name === "build") console.log("building"); };
      await store.pull("tiny", {}, { signal: new AbortController().signal, stage, bytes() {} });`;
    const args = ["--input-type=module", "-e", script];
    const daemon = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise((resolve) => daemon.once("close", resolve));
    await new Promise((resolve, reject) => {
      daemon.stdout.once("data", resolve);
      daemon.once("exit", () => reject(new Error("the process ended before its build began")));
    });
    await untilHanging();
    daemon.kill("SIGKILL");
    await ended;
    await until("the end of the build", () => (hanging().length > 0 ? undefined : true));
    assert.equal(readdirSync(imagesDir).length, 1);
    store = await open();
    assert.deepEqual(readdirSync(imagesDir), []);
  });

  test("without mmdebstrap the error says how to get it", async () => {
    const { buildRecipe } = await import("./catalog.ts");
    const missing = { code: "command.missing", hint: /apt-get install mmdebstrap/ };
    await assert.rejects(
      buildRecipe(recipe, root, quiet(), () => undefined),
      missing,
    );
  });

  test("a full disk is an error that gives the space back", () => {
    fakeBuilder();
    const data = Buffer.alloc(8 * 1024 * 1024, "incompressible");
    writeFileSync(join(tools, "tar"), archive([{ path: "large", data }]));
    writeFileSync(
      join(tools, "images.tar.gz"),
      gzipSync(archive([{ path: "manifest.json" }, { path: "large", data }])),
    );
    mkdirSync(join(root, "small"));
    // A file system of its own in a namespace of its own: it is gone when the process is.
    const script = `
      import { spawnSync } from "node:child_process";
      import { readdirSync, statfsSync } from "node:fs";
      import { openImageStore } from ${JSON.stringify(import.meta.resolve("./store.ts"))};
      spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", "small"]);
      const rows = [];
      const table = { list: () => rows, insert: (row) => rows.push(row), rename() {}, remove() {} };
      const log = { debug() {}, info() {}, warn() {}, error() {} };
      const progress = { signal: new AbortController().signal, stage() {}, bytes() {} };
      const catalog = [${JSON.stringify(recipe)}];
      const store = await openImageStore({ paths: { imagesDir: "small", imageTagsFile: "tags.json", insecureImagesFile: "insecure.json", imageExportsDir: "exports", cacheDir: "cache", blobsDir: "cache/blobs" }, table, usedBy: () => [], log, catalog });
      const free = () => statfsSync("small").bfree;
      const before = free();
      const failed = async (work) => work.then(() => "done", (error) => error.code);
      const pulled = await failed(store.pull("tiny", {}, progress));
      const imported = await failed(store.importFrom({ path: "tools/tar", name: "mine" }, progress));
      const unpacked = await failed(store.importFrom({ path: "tools/images.tar.gz", name: "mine" }, progress));
      console.log(JSON.stringify({ pulled, imported, unpacked, same: free() === before, left: readdirSync("small"), rows }));`;
    const { stdout, stderr } = spawnSync(
      "unshare",
      ["--user", "--map-root-user", "--mount", process.execPath, "--input-type=module", "-e", script],
      { cwd: root, encoding: "utf8" },
    );
    assert.equal(stderr, "");
    const expected = {
      pulled: "disk.full",
      imported: "disk.full",
      unpacked: "disk.full",
      same: true,
      left: [],
      rows: [],
    };
    assert.deepEqual(JSON.parse(stdout), expected);
  });
});
