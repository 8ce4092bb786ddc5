// The image store with images of registries and layouts: names, tags, sharing, exporting, files that stay where they are.
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { type Progress, quietProgress } from "../lib/progress.ts";
import { openState, type State } from "../state/open.ts";
import { digestOf } from "./oci/digest.ts";
import type { Registries } from "./oci/source.ts";
import { makeImage, MemoryRepository, writeLayoutFiles } from "./oci/testdata/layout.ts";
import { type ImageStore, openImageStore } from "./store.ts";
import { assertSound, debugfs } from "./testdata/ext4.ts";
import { storePaths } from "./testdata/store-paths.ts";

let root: string;
let state: State;
let store: ImageStore;
let users: Record<string, string[]>;
let repository: MemoryRepository;
let opened: number;

const registries: Registries = {
  normalize(text) {
    if (!/^[a-z0-9./_-]+(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?$/.test(text)) {
      throw new BangerError("image.reference-invalid", `bad ${text}`);
    }
    return /[:@]/.test(text) ? text : `${text}:latest`;
  },
  open(text) {
    opened++;
    const reference = text.includes("@") ? text.slice(text.indexOf("@") + 1) : text.slice(text.indexOf(":") + 1);
    return { source: repository, reference, async [Symbol.asyncDispose]() {} };
  },
};
const open = (limits?: { maxBytes: number; maxEntries: number }) =>
  openImageStore({
    ...(limits === undefined ? {} : { limits }),
    paths: storePaths(root),
    table: state.images,
    usedBy: (id) => users[id] ?? [],
    log: silentLogger,
    catalog: [],
    registries,
  });
const quiet = () => quietProgress(new AbortController().signal);
const pull = (name: string) => store.pull(name, {}, quiet());
const image = makeImage([[{ path: "a", data: "one" }], [{ path: "b", data: "two" }]], {
  config: { Entrypoint: ["/run"], Cmd: ["x"], Env: ["A=1"], User: "1:2", WorkingDir: "/w", StopSignal: "SIGINT" },
});
const newer = makeImage([[{ path: "a", data: "one" }], [{ path: "b", data: "three" }]]);

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-oci-store-"));
  state = openState(join(root, "banger.db"));
  users = {};
  opened = 0;
  repository = new MemoryRepository();
  repository.add("1", image);
  store = await open();
});
afterEach(() => {
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

describe("images of registries", { concurrency: false }, () => {
  test("a pulled image: record, file system, documents, history", async () => {
    const record = await pull("app:1");
    assert.equal(record.id, digestOf(image.config).slice(7));
    assert.deepEqual([record.name, record.tags, record.source], ["app:1", [], "registry:app:1"]);
    assert.deepEqual(record.digests, {
      reference: image.digest,
      manifest: image.digest,
      config: digestOf(image.config),
      layers: image.layers.map((layer) => digestOf(layer)),
    });
    const { entrypoint, command, user, workdir, stopSignal } = record.config;
    assert.deepEqual([entrypoint, command, user, workdir, stopSignal], [["/run"], ["x"], "1:2", "/w", "SIGINT"]);
    assertSound(record.rootfsPath);
    assert.match(debugfs(record.rootfsPath, "cat b"), /two/);
    assert.equal((await store.inspect("app:1")).manifest, image.manifest.toString());
    assert.equal((await store.inspect("app:1")).config, image.config.toString());
    assert.deepEqual(
      (await store.history("app:1")).map((step) => step.createdBy),
      ["step 1", "step 2"],
    );
    for (const reference of ["app:1", record.id, record.id.slice(0, 5), `app@${image.digest}`, image.digest]) {
      assert.equal(store.resolve(reference).id, record.id, reference);
    }
    for (const reference of ["app", "ap", "app:", "app:2"]) {
      assert.throws(() => store.resolve(reference), { code: "image.not-found" }, reference);
    }
  });

  test("pulling again reads no layer; a tag that moved takes its name along, shared layers are not fetched again", async () => {
    const first = await pull("app:1");
    const before = repository.opened.length;
    assert.equal((await pull("app:1")).id, first.id);
    assert.equal(repository.opened.length, before + 1, "the config only");
    repository.add("1", newer);
    const second = await pull("app:1");
    assert.notEqual(second.id, first.id);
    assert.deepEqual(
      store.list().map((record) => record.id),
      [second.id],
      "nobody used the old one",
    );
    const shared = digestOf(image.layers[0] ?? Buffer.alloc(0));
    assert.equal(repository.opened.filter(({ digest }) => digest === shared).length, 1);
  });

  test("an image that is used stays when its name moves; one with another name keeps that", async () => {
    const first = await pull("app:1");
    users = { [first.id]: ["box"] };
    repository.add("1", newer);
    await pull("app:1");
    assert.equal(store.resolve(first.id).name, first.id.slice(0, 12));
    repository.add("2", image);
    assert.equal((await pull("app:2")).id, first.id);
    assert.deepEqual([store.resolve("app:2").name, store.resolve("app:2").tags], ["app:2", []]);
    await store.tag("app:2", "kept", {});
    repository.add("2", newer);
    const moved = await pull("app:2");
    assert.deepEqual(store.resolve("kept").id, first.id);
    assert.deepEqual([moved.name, ...moved.tags].toSorted(), ["app:1", "app:2"]);
    await assert.rejects(store.delete("kept"), { code: "image.in-use", message: /box/ });
  });

  test("concurrent pulls of one reference, and of two with shared layers, fetch each blob once", async () => {
    repository.add("2", newer);
    const all = await Promise.all([pull("app:1"), pull("app:1"), pull("app:2")]);
    assert.equal(all[0]?.id, all[1]?.id);
    const layers = new Set([...image.layers, ...newer.layers].map((layer) => digestOf(layer)));
    for (const digest of layers) {
      assert.equal(repository.opened.filter((one) => one.digest === digest).length, 1, digest);
    }
    assert.equal(opened, 2);
    assert.deepEqual(
      (await store.cache.list()).filter((blob) => blob.inUse || !blob.complete),
      [],
    );
  });

  test("a pull that fails or is cancelled leaves no image; what has arrived is used by the next", async () => {
    const last = digestOf(image.layers[1] ?? Buffer.alloc(0));
    const good = repository.blobs.get(last) as Buffer;
    repository.blobs.set(last, Buffer.from(good.toReversed()));
    await assert.rejects(pull("app:1"), { code: "image.invalid", message: /layer 2 of 2/ });
    assert.deepEqual([store.list(), readdirSync(join(root, "images"))], [[], []]);
    repository.blobs.set(last, good);
    const stop = new AbortController();
    repository.hold = async (digest, signal) => {
      if (digest !== last) return;
      stop.abort(new BangerError("cancelled", "enough"));
      await new Promise((_resolve, reject) => {
        if (signal.aborted) reject(signal.reason as Error);
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      });
    };
    await assert.rejects(store.pull("app:1", {}, quietProgress(stop.signal)), { code: "cancelled" });
    assert.deepEqual([store.list(), readdirSync(join(root, "images"))], [[], []]);
    repository.hold = async () => {};
    await pull("app:1");
    const offset = repository.opened.findLast(({ digest }) => digest === last)?.offset;
    assert.equal(offset, Math.floor(good.length / 2), "it went on where it was");
  });

  test("names: one more, taken over, taken away; all are kept over a restart", async () => {
    await pull("app:1");
    repository.add("2", newer);
    await pull("app:2");
    await assert.rejects(store.tag("app:1", "app:2", {}), { code: "image.exists" });
    await assert.rejects(store.tag("app:1", "not a name", {}), { code: "request.invalid" });
    await assert.rejects(store.untag("app:1"), { code: "image.in-use" });
    await assert.rejects(store.untag("nothing"), { code: "image.not-found" });
    await store.tag("app:1", "mine", {});
    await store.tag("app:2", "other", {});
    store = await open();
    assert.equal(store.resolve("mine").id, store.resolve("app:1").id);
    await store.tag("app:1", "other", { force: true });
    assert.equal(store.resolve("other").id, store.resolve("app:1").id);
    assert.equal(store.resolve("app:2").tags.length, 0);
    await store.untag("app:1");
    assert.throws(() => store.resolve("app:1"), { code: "image.not-found" });
    await store.delete("mine");
    assert.throws(() => store.resolve("other"), { code: "image.not-found" });
    assert.deepEqual(JSON.parse(readFileSync(join(root, "image-tags.json"), "utf8")), {});
  });

  test("a word that no registry has is shown the catalog, a reference is not", async () => {
    repository.manifest = () => Promise.reject(new BangerError("registry.denied", "no", { hint: "log in" }));
    await assert.rejects(pull("debain-13"), { code: "registry.denied", hint: /^banger image catalog .*"debain-13"/ });
    await assert.rejects(pull("debian:13"), { code: "registry.denied", hint: "log in" });
  });

  test("what may be pulled unasked: names that only an image of a registry can have", () => {
    assert.deepEqual(
      ["app:1", "host/app", `app@${image.digest}`, "app", "typo"].map((name) => store.inCatalog(name)),
      [true, true, true, false, false],
    );
  });
});

describe("images of files", { concurrency: false }, () => {
  test("a layout: named by --name, by what it says, by its file; exported it is what it was", async () => {
    const layout = join(root, "app");
    writeLayoutFiles(layout, [{ image, name: "1.0" }]);
    const named = await store.importFrom({ path: layout }, quiet());
    assert.equal(named.name, "app:1.0");
    await assert.rejects(store.importFrom({ path: layout }, quiet()), { code: "image.exists" });
    assert.deepEqual((await store.importFrom({ path: layout, name: "mine" }, quiet())).tags, ["app:1.0"]);
    const flat = await store.export({ image: "mine", path: join(root, "flat") }, quiet());
    assert.equal(flat.original, false, "its layers are nowhere any more");
    await store.delete("mine");
    await pull("app:1");
    const out = join(root, "out");
    await store.export({ image: "app:1", path: out }, quiet());
    await assert.rejects(store.export({ image: "app:1", path: out }, quiet()), {
      code: "file.failed",
      message: /exists/,
    });
    await assert.rejects(store.export({ image: "app:1", path: join(root, "none/out") }, quiet()), {
      code: "file.failed",
      message: /there is no directory ".*none"$/,
      hint: `mkdir -p ${join(root, "none")}`,
    });
    await store.export({ image: "app:1", path: `${out}.tar` }, quiet());
    const saved = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8")) as { RepoTags: string[] }[];
    assert.deepEqual(saved[0]?.RepoTags, ["app:1"]);
    await store.delete("app:1");
    const pinned = await pull(`app@${image.digest}`);
    await store.export({ image: pinned.id, path: join(root, "pinned") }, quiet());
    const { manifests } = JSON.parse(readFileSync(join(root, "pinned/index.json"), "utf8")) as {
      manifests: { annotations: object }[];
    };
    assert.deepEqual(
      manifests.map((entry) => entry.annotations),
      [{ "io.containerd.image.name": `app@${image.digest}` }],
    );
    await store.delete(pinned.id);
    for (const path of [out, `${out}.tar`]) {
      const again = await store.importFrom({ path }, quiet());
      assert.deepEqual([again.name, again.digests?.manifest], ["app:1", image.digest]);
      await store.delete(again.id);
    }
    assert.deepEqual(
      readdirSync(root).filter((name) => name.startsWith(".")),
      [],
    );
  });

  test("an image for another machine is refused unless it is asked for", async () => {
    const layout = join(root, "s390");
    writeLayoutFiles(layout, [{ image: makeImage([[{ path: "a" }]], { architecture: "s390x" }), name: "" }]);
    await assert.rejects(store.importFrom({ path: layout }, quiet()), { code: "image.invalid", message: /s390x/ });
    const record = await store.importFrom({ path: layout, platform: "linux/s390x" }, quiet());
    assert.deepEqual([record.architecture, record.name], ["s390x", "s390"]);
  });

  test("a registered file stays where it is until it is promoted", async () => {
    const record = await pull("app:1");
    const file = join(root, "mine.ext4");
    writeFileSync(file, readFileSync(record.rootfsPath));
    const registered = await store.register({ path: file, name: "mine" }, quiet());
    assert.ok(lstatSync(registered.rootfsPath).isSymbolicLink());
    assert.equal(registered.source, `file:${file}`);
    assert.equal(registered.usedBytes, 0, "it takes nothing of the store");
    const promoted = await store.promote("mine", quiet());
    assert.ok(promoted.usedBytes > 0);
    assert.deepEqual(store.resolve("mine"), promoted);
    assert.deepEqual(await store.promote("mine", quiet()), promoted);
    rmSync(file);
    assertSound(promoted.rootfsPath);
    await assert.rejects(store.inspect("mine"), { code: "image.invalid" });
    assert.deepEqual(await store.history("mine"), []);
    writeFileSync(file, "no file system".repeat(1000));
    await assert.rejects(store.register({ path: file, name: "bad" }, quiet()), { code: "image.invalid" });
  });

  test("a directory tree is copied", async () => {
    mkdirSync(join(root, "tree/etc"), { recursive: true });
    writeFileSync(join(root, "tree/etc/motd"), "hello");
    const record = await store.register({ path: join(root, "tree"), name: "tree" }, quiet());
    assert.match(debugfs(record.rootfsPath, "cat etc/motd"), /hello/);
  });

  test("a directory tree that is too large, cannot be read to its end, or is not wanted any more, leaves nothing", async () => {
    mkdirSync(join(root, "tree"));
    writeFileSync(join(root, "tree/large"), Buffer.alloc(8e6, "x"));
    const register = (signal = new AbortController().signal, stage: Progress["stage"] = () => {}) =>
      store.register({ path: join(root, "tree"), name: "tree" }, { ...quietProgress(signal), stage });
    const stop = new AbortController();
    const cancelled = new BangerError("cancelled", "enough");
    await assert.rejects(
      register(stop.signal, () => stop.abort(cancelled)),
      { code: "cancelled", message: "enough" },
    );
    store = await open({ maxBytes: 1e6, maxEntries: 1000 });
    await assert.rejects(register(), { code: "image.invalid", message: /entry "\.\/large" .*larger than 1000000/ });
    store = await open();
    const { PATH } = process.env;
    mkdirSync(join(root, "bin"));
    writeFileSync(join(root, "bin/tar"), '#!/bin/sh\n/bin/tar "$@"\necho "it went away" >&2\nexit 2\n', {
      mode: 0o755,
    });
    try {
      process.env["PATH"] = `${join(root, "bin")}:${PATH}`;
      await assert.rejects(register(), { code: "command.failed", message: /it went away/ });
    } finally {
      process.env["PATH"] = PATH;
    }
    assert.deepEqual([store.list(), readdirSync(join(root, "images"))], [[], []]);
    assert.equal((await register()).name, "tree");
  });

  test("a manifest of an earlier version is read", async () => {
    const record = await pull("app:1");
    const row = state.images.list()[0];
    const { digests: _digests, config, ...old } = JSON.parse(row?.manifest ?? "") as Record<string, object>;
    const { environment, user, workdir, command, labels } = config as Record<string, unknown>;
    state.images.remove(record.id);
    const manifest = JSON.stringify({ ...old, config: { environment, user, workdir, command, labels } });
    state.images.insert({ id: record.id, name: "old", manifest, createdAt: 1 });
    store = await open();
    const read = store.resolve("old");
    assert.deepEqual([read.digests, read.tags, read.config.entrypoint, read.config.command], [null, [], [], ["x"]]);
  });
});
