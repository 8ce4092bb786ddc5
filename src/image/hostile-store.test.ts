// Hostile images by the ways that users have: each is refused, nothing of it stays but sound blobs, and the next image is pulled as ever.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { BangerError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { quietProgress } from "../lib/progress.ts";
import { openState, type State } from "../state/open.ts";
import { digestOf } from "./oci/digest.ts";
import { mediaTypes } from "./oci/media-types.ts";
import {
  describe as descriptor,
  json,
  makeImage,
  MemoryRepository,
  registriesOf,
  writeLayoutFiles,
} from "./oci/testdata/layout.ts";
import type { TestImage } from "./oci/testdata/layout.ts";
import { type ImageStore, openImageStore } from "./store.ts";
import { archive } from "./testdata/archive.ts";
import { dir, file, hard, link, wh } from "./testdata/entries.ts";
import { storePaths } from "./testdata/store-paths.ts";

let root: string;
let state: State;
let store: ImageStore;
let repository: MemoryRepository;
const sound = makeImage([[file("a")], [file("b")]]);
const quiet = () => quietProgress(new AbortController().signal);

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-hostile-store-"));
  writeFileSync(join(root, "canary"), "untouched");
  state = openState(join(root, "banger.db"));
  repository = new MemoryRepository();
  repository.add("sound", sound);
  store = await openImageStore({
    paths: storePaths(root),
    table: state.images,
    usedBy: () => [],
    log: silentLogger,
    limits: { maxBytes: 10e6, maxEntries: 1000 },
    catalog: [],
    registries: registriesOf(repository),
  });
});
afterEach(() => {
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

/** An image whose config says these blobs unpack to what they do, or to `plain`. */
function imageOf(blobs: readonly Buffer[], plain: readonly Buffer[] = blobs): TestImage {
  const config = json({
    ...parsed(sound.config),
    rootfs: { type: "layers", diff_ids: plain.map((one) => digestOf(one)) },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor(config, mediaTypes.ociConfig),
    layers: blobs.map((one) => descriptor(one, mediaTypes.ociLayer)),
  });
  const all = [manifest, config, ...blobs];
  const digests = new Map(all.map((one) => [digestOf(one), one]));
  return { manifest, config, layers: [...blobs], digest: digestOf(manifest), blobs: digests };
}
const parsed = (bytes: Buffer) => JSON.parse(bytes.toString()) as object;

const below = archive([dir("d"), link("l", "/etc"), file("d/f")]);
const layers: Record<string, readonly [layer: Buffer, why: RegExp]> = {
  "a hard link to the host": [
    archive([hard("h", "l/passwd")]),
    /^layer "layer 2 of 2 \(sha256:\w{12}\)", entry "h" is not usable: it is a hard link/,
  ],
  "a whiteout of the parent": [
    archive([file("x"), wh("d/.wh...")]),
    /entry "d\/\.wh\.\.\." is not usable: it is a whiteout of nothing/,
  ],
  "more than the store takes": [
    archive([file("x", Buffer.alloc(11e6))]),
    /entry "x" is not usable: its files are larger than 10000000 bytes/,
  ],
  "more entries than the store takes": [
    archive(Array.from({ length: 1000 }, (_, index) => file(`${index}`))),
    /entry "\d+" is not usable: it has more than 1000 entries/,
  ],
  "a layer that is no tar": [Buffer.alloc(2048, "x"), /no tar archive/],
  "a layer that is cut": [archive([file("x", "y".repeat(3000))]).subarray(0, 2000), /cut short/],
  "a damaged gzip": [gzipSync(archive([file("x")])).fill(0, 40, 44), /damaged|checksum|no tar|cut short/],
  "a damaged zstd": [
    zstdCompressSync(archive([file("x", "z".repeat(4000))])).fill(7, 30, 36),
    /damaged|checksum|no tar|cut short/,
  ],
};

function checkNothingLeft(): void {
  assert.deepEqual(store.list(), []);
  assert.deepEqual(existsSync(join(root, "images")) ? readdirSync(join(root, "images")) : [], []);
  assert.deepEqual(
    readdirSync(root).filter(
      (name) => !/^banger\.db|^(images|cache|layout|(image-tags|insecure-images)\.json)$/.test(name),
    ),
    ["canary"],
  );
  const cache = join(root, "cache");
  for (const name of existsSync(cache) ? readdirSync(cache) : []) {
    if (name !== "blobs") assert.deepEqual(readdirSync(join(cache, name)), [], name);
  }
}

async function refused(work: Promise<unknown>, why: RegExp): Promise<void> {
  const error: unknown = await work.then(
    () => assert.fail("was accepted"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof BangerError && error.code === "image.invalid", String(error));
  assert.match(error.message, why);
  checkNothingLeft();
}

describe("refused, and nothing is left", () => {
  for (const [name, [layer, why]] of Object.entries(layers)) {
    test(`${name}: pulled, imported`, async () => {
      const image = imageOf([below, layer]);
      repository.add("bad", image);
      await refused(store.pull("x:bad", {}, quiet()), why);
      writeLayoutFiles(join(root, "layout"), [{ image, name: "1" }]);
      await refused(store.importFrom({ path: join(root, "layout"), name: "bad" }, quiet()), why);
      assert.equal((await store.pull("x:sound", {}, quiet())).name, "x:sound");
    });
  }

  test("a packed archive of images that unpacks to more than the store takes", async () => {
    const bomb = join(root, "layout");
    const zeros = archive([{ path: "manifest.json", data: "[]" }, file("x", Buffer.alloc(20e6))]);
    for (const packed of [gzipSync(zeros), zstdCompressSync(zeros)]) {
      writeFileSync(bomb, packed);
      await refused(store.importFrom({ path: bomb, name: "bad" }, quiet()), /larger than \d+ bytes when it is decompr/);
    }
    rmSync(bomb);
  });

  test("content that is not what the config says, in the last layer too", async () => {
    const image = imageOf([below, archive([file("x")])], [below, archive([file("y")])]);
    repository.add("bad", image);
    const why = /layer 2 of 2 .* its content has the digest sha256:\w{64}, and sha256:\w{64} was expected/;
    await refused(store.pull("x:bad", {}, quiet()), why);
  });

  test("blobs that are not what the manifest says", async () => {
    const cases: readonly [change: (layer: Buffer) => Buffer, why: RegExp][] = [
      [(layer) => Buffer.from(layer).fill("y", 600, 601), /damaged/],
      [(layer) => layer.subarray(0, -1), /cut short/],
      [(layer) => Buffer.concat([layer, Buffer.alloc(1)]), /longer than/],
      [() => Buffer.alloc(0), /cut short/],
    ];
    for (const [index, [change, why]] of cases.entries()) {
      // Each another one: what has come of the one before may be of use.
      const layer = archive([file(`x${index}`)]);
      const image = imageOf([below, layer]);
      repository.add("bad", image);
      repository.blobs.set(digestOf(layer), change(layer));
      await refused(store.pull("x:bad", {}, quiet()), why);
      const { bad } = await store.cache.verify({ signal: quiet().signal });
      assert.deepEqual(bad, [], "what is cached is sound");
    }
  });

  test("a source that goes on for ever is cut off at the size that was promised", async () => {
    const layer = archive([file("x")]);
    repository.add("bad", imageOf([layer]));
    let given = 0;
    const open = repository.open.bind(repository);
    repository.open = async (one, options) => {
      if (one.digest !== digestOf(layer)) return open(one, options);
      const endless = async function* () {
        for (;;) {
          given += 65_536;
          yield Buffer.alloc(65_536);
        }
      };
      return Readable.from(endless(), { objectMode: false });
    };
    await refused(store.pull("x:bad", {}, quiet()), /longer than the 2048 bytes/);
    assert.ok(given < 4 * 1024 ** 2, `${given} bytes were taken`);
    assert.ok(!existsSync(join(root, "cache/blobs/partial")) || usedBytes(join(root, "cache/blobs/partial")) <= 2048);
  });

  test("ten thousand layers: no blob is asked for", async () => {
    const [first] = (parsed(sound.manifest) as { layers: object[] }).layers;
    const manifest = json({ ...parsed(sound.manifest), layers: Array.from({ length: 10_000 }, () => first) });
    const raw = { bytes: manifest, mediaType: mediaTypes.ociManifest, digest: digestOf(manifest) };
    repository.tags.set("bad", raw);
    await refused(store.pull("x:bad", {}, quiet()), /more than 512 layers/);
    assert.deepEqual(repository.opened, []);
  });
});

const usedBytes = (directory: string) =>
  readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
