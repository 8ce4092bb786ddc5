// Exports of images: what they are called in a layout, whose manifest they have, and what is left when one fails.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { type Progress, quietProgress } from "../lib/progress.ts";
import { openState, type State } from "../state/open.ts";
import { digestOf } from "./oci/digest.ts";
import { makeImage, MemoryRepository, registriesOf, writeLayoutFiles } from "./oci/testdata/layout.ts";
import { type ImageStore, openImageStore } from "./store.ts";
import { storePaths } from "./testdata/store-paths.ts";
import { UnfinishedExports } from "./unfinished-exports.ts";

const layers = [[{ path: "a", data: "one" }], [{ path: "b", data: "two".repeat(100_000) }]];
const image = makeImage(layers);
/** The same config with layers that are packed in another way. */
const repacked = makeImage(layers, { plain: true });
const quiet = () => quietProgress(new AbortController().signal);

describe("exports", { concurrency: false }, () => {
  let root: string;
  let state: State;
  let store: ImageStore;
  let users: Record<string, string[]>;
  let repository: MemoryRepository;

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), "banger-export-"));
    state = openState(join(root, "banger.db"));
    users = {};
    repository = new MemoryRepository();
    repository.add("1", image);
    store = await openImageStore({
      paths: storePaths(root),
      table: state.images,
      usedBy: (id) => users[id] ?? [],
      log: silentLogger,
      catalog: [],
      registries: registriesOf(repository),
    });
  });
  afterEach(() => {
    state[Symbol.dispose]();
    rmSync(root, { recursive: true });
  });

  const exported = async (name: string, progress: Progress = quiet()) => {
    const path = join(root, `out-${readdirSync(root).length}`);
    const result = await store.export({ image: name, path }, progress);
    return { ...result, index: JSON.parse(readFileSync(join(path, "index.json"), "utf8")) as Index };
  };
  type Index = { manifests: { digest: string; annotations: Record<string, string> }[] };
  const namesIn = (index: Index) =>
    index.manifests.map((entry) => entry.annotations["io.containerd.image.name"] ?? "").toSorted();
  const before = () =>
    readdirSync(root)
      .filter((name) => name !== "image-exports")
      .toSorted();
  const unfinished = () => readdirSync(join(root, "image-exports"));

  test("what a daemon that was killed has written goes at the next start, and nothing else", async () => {
    const exports = await UnfinishedExports.open(join(root, "image-exports"));
    const place = join(root, "place");
    mkdirSync(place);
    const [tar, layout, finished] = [
      await exports.begin(join(place, "app.tar")),
      await exports.begin(join(place, "app")),
      await exports.begin(join(place, "whole")),
    ];
    writeFileSync(tar.staging, "half");
    mkdirSync(join(layout.staging, "blobs"), { recursive: true });
    await finished[Symbol.asyncDispose]();
    for (const name of ["app.tar", ".app.tar.0123456789ab.tmp", basename(finished.staging)]) {
      writeFileSync(join(place, name), "of the user");
    }
    // A record that is none of ours leads nowhere.
    symlinkSync(join(place, "app.tar"), join(root, "image-exports/forged"));
    writeFileSync(join(root, "image-exports/file"), "");
    await UnfinishedExports.open(join(root, "image-exports"));
    assert.deepEqual(
      readdirSync(place).toSorted(),
      [".app.tar.0123456789ab.tmp", basename(finished.staging), "app.tar"].toSorted(),
    );
    assert.deepEqual(unfinished(), ["file"]);
  });

  test("the layout calls an image what it was asked for, and by all its names when it was asked for by id", async () => {
    const { id } = await store.pull("app:1", {}, quiet());
    await store.tag("app:1", "mine", {});
    await store.tag("app:1", "app:2", {});
    assert.deepEqual(namesIn((await exported("app:1")).index), ["app:1"]);
    assert.deepEqual(namesIn((await exported("mine")).index), ["mine"]);
    assert.deepEqual(namesIn((await exported(id.slice(0, 12))).index), ["app:1", "app:2"]);
  });

  test("a pull of what an archive had brought gives it the registry's manifest, also while a VM uses it", async () => {
    writeLayoutFiles(join(root, "layout"), [{ image: repacked, name: "1" }]);
    const imported = await store.importFrom({ path: join(root, "layout"), name: "mine" }, quiet());
    assert.equal(imported.digests?.manifest, repacked.digest);
    assert.equal((await exported("mine")).original, false, "an archive's layers are not kept");
    users = { [imported.id]: ["box"] };
    const pulled = await store.pull("app:1", {}, quiet());
    assert.deepEqual([pulled.id, pulled.pulled.outcome, pulled.source], [imported.id, "present", "registry:app:1"]);
    assert.equal(pulled.digests?.manifest, image.digest);
    assert.equal((await store.inspect("mine")).manifest, image.manifest.toString());
    const { original, manifest } = await exported("mine");
    assert.deepEqual([original, manifest], [true, image.digest]);
    const again = await store.importFrom({ path: join(root, "layout"), name: "other" }, quiet());
    assert.equal(again.digests?.manifest, image.digest, "an archive changes nothing of what a registry said");
    assert.deepEqual(readdirSync(join(root, "images")), [imported.id]);
  });

  test("a cached layer that is damaged is named and thrown away; the next export fetches it again", async () => {
    await store.pull("app:1", {}, quiet());
    const layer = image.layers[1] ?? Buffer.alloc(0);
    const digest = digestOf(layer);
    writeFileSync(join(root, "cache/blobs/sha256", digest.slice(7)), Buffer.from(layer.toReversed()));
    const there = before();
    await assert.rejects(exported("app:1"), { code: "image.invalid", message: /layer 2 of 2 .* is damaged/ });
    assert.deepEqual([before(), unfinished()], [there, []]);
    assert.equal((await store.cache.list()).length, 1);
    const asked = repository.opened.length;
    assert.equal((await exported("app:1")).manifest, image.digest);
    assert.deepEqual(repository.opened.slice(asked), [{ digest, offset: 0 }]);
  });

  test("one that is cancelled leaves nothing, be it while it reads or writes", async () => {
    const { rootfsPath } = await store.pull("app:1", {}, quiet());
    await store.register({ path: rootfsPath, name: "file" }, quiet());
    const there = before();
    for (const [name, at] of Object.entries({ "app:1": ["write"], file: ["read", "write"] })) {
      for (const wanted of at) {
        const stop = new AbortController();
        const progress: Progress = {
          ...quietProgress(stop.signal),
          stage: (stage) => stage === wanted && stop.abort(new BangerError("cancelled", "enough")),
        };
        await assert.rejects(exported(name, progress), { code: "cancelled", message: "enough" }, `${name} ${wanted}`);
        assert.deepEqual([before(), unfinished()], [there, []], `${name} ${wanted}`);
      }
    }
  });
});
