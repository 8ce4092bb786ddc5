// Hostile documents and archives of images: each ends in an error that says what is wrong, before a layer is asked for.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { quietProgress } from "../../lib/progress.ts";
import { archive, encodeEntry } from "../testdata/archive.ts";
import type { TestEntry } from "../testdata/archive.ts";
import { digestOf } from "./digest.ts";
import { mediaTypes } from "./media-types.ts";
import { openImage } from "./open-image.ts";
import { hostPlatform } from "./platform.ts";
import { resolveImage } from "./resolve-image.ts";
import { describe as descriptor, json, makeImage, MemoryRepository, writeLayoutFiles } from "./testdata/layout.ts";

const progress = quietProgress(new AbortController().signal);
const { signal } = progress;
const image = makeImage([[{ path: "a", data: "one" }]]);
const manifest = JSON.parse(image.manifest.toString()) as Record<string, unknown>;
const config = JSON.parse(image.config.toString()) as Record<string, unknown>;
const [layer] = manifest["layers"] as object[];
const platform = hostPlatform();

const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
/** A document with one more field, whose value is JSON text. */
const withText = (document: object, field: string, text: string) =>
  Buffer.from(JSON.stringify({ ...document, [field]: 0 }).replace(`"${field}":0`, () => `"${field}":${text}`));

function expect(error: unknown, why: RegExp): void {
  assert.ok(error instanceof BangerError, String(error));
  assert.ok(["image.invalid", "image.not-found", "image.ambiguous"].includes(error.code), error.code);
  assert.match(error.message, why);
  assert.doesNotMatch(error.message + (error.hint ?? ""), /[\p{Cc}\p{Cf}]/u, "no control characters");
  assert.doesNotMatch(error.hint ?? "", /[;&|$`]/, "a hint can be pasted");
  assert.ok(error.message.length < 3000, "the message is bounded");
}

async function refused(work: Promise<unknown>, why: RegExp): Promise<void> {
  expect(
    await work.then(
      () => assert.fail("was accepted"),
      (error: unknown) => error,
    ),
    why,
  );
}

/** A repository whose tag "x" is this document; other documents by digest. */
function repositoryOf(document: Buffer, mediaType: string, others: readonly Buffer[] = []): MemoryRepository {
  const repository = new MemoryRepository();
  repository.add("sound", image);
  repository.tags.set("x", { bytes: document, mediaType, digest: digestOf(document) });
  for (const other of others) {
    const { mediaType: type = mediaTypes.ociIndex } = JSON.parse(other.toString()) as { mediaType?: string };
    repository.tags.set(digestOf(other), { bytes: other, mediaType: type, digest: digestOf(other) });
    repository.blobs.set(digestOf(other), other);
  }
  return repository;
}

describe("refused: manifests", () => {
  const layers = (changes: object, count = 1) =>
    json({ ...manifest, layers: Array.from({ length: count }, () => ({ ...layer, ...changes })) });
  const cases: Record<string, readonly [Buffer, RegExp]> = {
    "10,000 layers": [layers({}, 10_000), /more than 512 layers/],
    "a media type of a million lists": [withText(manifest, "mediaType", nested(1_000_000)), /contradicts itself/],
    "layers of a million lists": [withText(manifest, "layers", nested(1_000_000)), /wrong at|more than/],
    "a layer whose media type is an object": [layers({ mediaType: {} }), /wrong at "layers.0.mediaType"/],
    "a layer whose media type is very long": [layers({ mediaType: "x".repeat(100_000) }), /layers.0.mediaType/],
    "a layer whose digest is very long": [layers({ digest: `sha256:${"0".repeat(100_000)}` }), /layers.0.digest/],
    "a layer with a digest that nobody knows": [layers({ digest: "blake3:00" }), /not known: "blake3:00"/],
    "a layer with a digest of control characters": [layers({ digest: "\u001b[2J\u202e" }), /not known/],
    "a layer that leads upwards": [layers({ digest: "sha256:../../../../etc/passwd" }), /not known/],
    "a layer of 2^53 bytes": [layers({ size: 2 ** 53 }), /layers.0.size/],
    "a foreign layer": [
      layers({ mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar", urls: ["http://127.0.0.1/"] }),
      /never followed/,
    ],
    "a config of 5 MiB": [
      json({ ...manifest, config: { ...(manifest["config"] as object), size: 5e6 } }),
      /config.*larger/,
    ],
    "a document of more than 4 MiB": [Buffer.concat([image.manifest, Buffer.alloc(4.3e6, " ")]), /larger than/],
    "two documents": [Buffer.concat([image.manifest, image.manifest]), /not JSON/],
    "both kinds": [json({ ...manifest, manifests: [] }), /both manifests and layers/],
    "keys that are not what they seem": [
      withText({ schemaVersion: 2, config: manifest["config"] }, "__proto__", JSON.stringify({ layers: [layer] })),
      /wrong at "layers"/,
    ],
  };
  for (const [name, [document, why]] of Object.entries(cases)) {
    test(name, async () => {
      const repository = repositoryOf(document, mediaTypes.ociManifest);
      await refused(resolveImage(repository, "x", { shown: "x", signal }), why);
      assert.deepEqual(repository.opened, [], "nothing was asked for");
    });
  }
});

describe("refused: indexes", () => {
  const entry = (document: Buffer, changes: object = {}) => ({
    ...descriptor(document, mediaTypes.ociIndex),
    platform,
    ...changes,
  });
  const index = (...entries: object[]) =>
    json({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries });
  const good = { ...descriptor(image.manifest, mediaTypes.ociManifest), platform };
  const one = index(good);
  const two = index(entry(one));
  const three = index(entry(two));
  const cases: Record<string, readonly [Buffer, RegExp]> = {
    "indexes of indexes of indexes": [index(entry(three)), /index of indexes of indexes/],
    "an entry of another size": [index({ ...good, size: 1 }), /something else came/],
    "an entry of another kind": [index({ ...good, mediaType: mediaTypes.dockerManifest }), /contradicts its manifest/],
    "an entry of an unknown kind": [index({ ...good, mediaType: "x/y" }), /contradicts its manifest/],
    "an entry with a digest of an unknown kind": [index({ ...good, digest: "md5:00" }), /not known/],
    "an entry that leads upwards": [index({ ...good, digest: "sha256:../../x" }), /not known/],
    "more than 1000 entries": [index(...Array.from({ length: 1001 }, () => good)), /wrong at "manifests"/],
    "a platform of lists": [index({ ...good, platform: [[]] }), /manifests.0.platform/],
    "platforms of control characters": [
      index({ ...good, platform: { os: "linux", architecture: "\u001b[31m\u202e" } }),
      /no image for/,
    ],
    "a platform that is a command": [
      index({ ...good, platform: { os: "linux", architecture: "x; rm -rf ~ #" } }),
      /it has linux\/x; rm -rf ~ #$/,
    ],
    "no entry at all": [index(), /no image for/],
  };
  for (const [name, [document, why]] of Object.entries(cases)) {
    test(name, async () => {
      const repository = repositoryOf(document, mediaTypes.ociIndex, [one, two, three]);
      await refused(resolveImage(repository, "x", { shown: "x", signal }), why);
      assert.deepEqual(repository.opened, []);
    });
  }

  test("an index that a lying source gives for every digest", async () => {
    const repository = repositoryOf(two, mediaTypes.ociIndex);
    const asked: string[] = [];
    repository.manifest = async (reference) => {
      asked.push(reference);
      return { bytes: two, mediaType: mediaTypes.ociIndex, digest: reference === "x" ? digestOf(two) : reference };
    };
    await refused(resolveImage(repository, "x", { shown: "x", signal }), /something else came|damaged/);
    assert.ok(asked.length <= 3, asked.join());
  });
});

describe("refused: configs", () => {
  const rootfs = config["rootfs"] as { diff_ids: string[] };
  const runs = (changes: object) => ({ config: changes });
  const cases: Record<string, readonly [Buffer, RegExp]> = {
    "another number of layers": [
      json({ ...config, rootfs: { ...rootfs, diff_ids: [] } }),
      /0 layers, the manifest of 1/,
    ],
    "10,000 layers": [
      json({ ...config, rootfs: { ...rootfs, diff_ids: Array(10_000).fill(rootfs.diff_ids[0]) } }),
      /10000 layers/,
    ],
    "a layer digest of an unknown kind": [json({ ...config, rootfs: { ...rootfs, diff_ids: ["md5:0"] } }), /not known/],
    "a million lists": [withText(config, "rootfs", nested(1_000_000)), /wrong at "rootfs/],
    "an architecture of lists": [withText(config, "architecture", nested(100_000)), /wrong at "architecture"/],
    "100,000 variables": [json({ ...config, ...runs({ Env: Array(100_000).fill("A=1") }) }), /config.Env/],
    "100,000 steps": [json({ ...config, history: Array.from({ length: 100_000 }, () => ({})) }), /history/],
    "a user of 100 kB": [json({ ...config, ...runs({ User: "u".repeat(100_000) }) }), /config.User/],
    "a zero byte in a variable": [json({ ...config, ...runs({ Env: ["A=\0"] }) }), /config.Env/],
    "a zero byte in the working directory": [json({ ...config, ...runs({ WorkingDir: "/\0" }) }), /WorkingDir/],
    "a zero byte in the command": [json({ ...config, ...runs({ Cmd: ["a\0"] }) }), /Cmd/],
    "another system": [json({ ...config, os: "windows\u001b" }), /for windows\?, not for linux/],
    "no JSON": [Buffer.from("<html>"), /not JSON/],
    "no text": [Buffer.from([0x7b, 0xff, 0x7d]), /not JSON/],
  };
  for (const [name, [bytes, why]] of Object.entries(cases)) {
    test(name, async () => {
      const document = json({ ...manifest, config: descriptor(bytes, mediaTypes.ociConfig) });
      const repository = repositoryOf(document, mediaTypes.ociManifest);
      repository.blobs.set(digestOf(bytes), bytes);
      await refused(resolveImage(repository, "x", { shown: "x", signal }), why);
      assert.deepEqual(
        repository.opened.map(({ digest }) => digest),
        [digestOf(bytes)],
        "only the config was asked for",
      );
    });
  }

  test("a config that is cut, longer, or another", async () => {
    for (const [bytes, why] of [
      [image.config.subarray(1), /cut short/],
      [Buffer.concat([image.config, Buffer.from(" ")]), /longer/],
      [Buffer.from(image.config.toString().replace("linux", "linuy")), /damaged/],
    ] as const) {
      const repository = repositoryOf(image.manifest, mediaTypes.ociManifest);
      repository.blobs.set(digestOf(image.config), bytes);
      await refused(resolveImage(repository, "x", { shown: "x", signal }), why);
    }
  });
});

describe("refused: archives and layouts", () => {
  let root: string;
  before(() => {
    root = mkdtempSync(join(tmpdir(), "banger-hostile-oci-"));
    writeFileSync(join(root, "secret"), "of the host");
  });
  after(() => rmSync(root, { recursive: true }));

  async function open(path: string): Promise<void> {
    await using file = await openImage(path, { stagingRoot: join(root, "staging"), maxBytes: 1e6 }, progress);
    assert.ok(file !== undefined, "is no archive of images");
    const found = await resolveImage(file.source, "", { shown: "x", signal });
    for (const one of found.manifest.layers) (await file.source.open(one, { signal })).destroy();
  }

  const docker = (list: unknown, more: readonly TestEntry[] = []): Buffer =>
    archive([{ path: "manifest.json", data: json(list) }, { path: "c.json", data: image.config }, ...more]);
  const one = (changes: object) => [{ Config: "c.json", RepoTags: ["a:1"], Layers: ["l.tar"], ...changes }];
  const huge = encodeEntry({ path: "x", pax: { size: String(2 ** 50) } });
  const archives: Record<string, readonly [Buffer, RegExp]> = {
    "a config of the host": [docker(one({ Config: "/etc/passwd" })), /no file "(\/)?etc\/passwd"/],
    "a config that leads upwards": [docker(one({ Config: "../secret" })), /no file "\.\.\/secret"/],
    "a layer that leads upwards": [docker(one({ Layers: ["../../../secret"] })), /no file/],
    "a config that is a link to the host": [
      docker(one({ Config: "l" }), [{ path: "l", type: "2", link: "/etc/passwd" }]),
      /no file "l"/,
    ],
    "a config that is a hard link to the host": [
      docker(one({ Config: "l" }), [{ path: "l", type: "1", link: "../../etc/passwd" }]),
      /no file "l"/,
    ],
    "links in a circle": [
      docker(one({ Config: "a" }), [
        { path: "a", type: "2", link: "b" },
        { path: "b", type: "2", link: "a" },
      ]),
      /leads nowhere/,
    ],
    "names of control characters": [docker(one({ Config: "\u001b[2J\n\u202e" })), /no file/],
    "10,000 layers": [docker(one({ Layers: Array(10_000).fill("l") })), /Layers/],
    "a list of lists": [docker([[[]]]), /wrong at "0/],
    "a list that is too large": [
      archive([{ path: "manifest.json", data: Buffer.alloc(5e6, " ") }]),
      /larger than 4194304 bytes/,
    ],
    "an entry of a PiB": [Buffer.concat([archive(docker0()).subarray(0, -1024), huge]), /cut short/],
    "a negative size": [
      Buffer.concat([archive(docker0()).subarray(0, -1024), negative()]),
      /negative size|no valid size/,
    ],
    "no end": [archive(docker0()).subarray(0, -1024), /no end mark/],
    "a layout of the future": [
      archive([
        { path: "oci-layout", data: '{"imageLayoutVersion":"9.0.0"}' },
        { path: "index.json", data: "{}" },
      ]),
      /unknown version/,
    ],
    "an index of 5 MB": [
      archive([
        { path: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
        { path: "index.json", data: Buffer.alloc(5e6, " ") },
      ]),
      /larger than/,
    ],
  };
  function docker0(): TestEntry[] {
    return [
      { path: "manifest.json", data: json(one({})) },
      { path: "c.json", data: image.config },
    ];
  }
  function negative(): Buffer {
    const bytes = encodeEntry({ path: "x" }).fill(0xff, 124, 136).fill(" ", 148, 156);
    const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0`, 148, "latin1");
    return bytes;
  }
  for (const [name, [bytes, why]] of Object.entries(archives)) {
    test(`archive: ${name}`, async () => {
      const path = join(root, "archive.tar");
      writeFileSync(path, bytes);
      await refused(open(path), why);
    });
  }

  test("archive: more entries than any image has", async () => {
    const path = join(root, "many.tar");
    const entry = encodeEntry({ path: "blobs/x" });
    writeFileSync(path, Buffer.concat([entry, Buffer.alloc(100_001 * entry.length, entry), Buffer.alloc(1024)]));
    await refused(open(path), /more than 100000 entries/);
    rmSync(path);
  });

  test("layout: links out of it, pipes, directories", async () => {
    const layout = join(root, "layout");
    writeLayoutFiles(layout, [{ image, name: "1" }]);
    await open(layout);
    const index = join(layout, "index.json");
    rmSync(index);
    symlinkSync("../secret", index);
    await refused(open(layout), /a place outside/);
    rmSync(index);
    mkdirSync(index);
    await refused(open(layout), /not a regular file/);
    assert.deepEqual(readdirSync(root).includes("staging"), false, "nothing was unpacked");
  });
});
