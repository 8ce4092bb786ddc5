// Manifests, indexes and configs: what is taken, and what hostile documents are refused for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "./config.ts";
import { digestOf } from "./digest.ts";
import { maxLayers, parseManifest } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";
import { describe, json, makeImage } from "./testdata/layout.ts";

const raw = (bytes: Buffer, mediaType: string = mediaTypes.ociManifest) => ({
  bytes,
  mediaType,
  digest: digestOf(bytes),
});
const image = makeImage([[{ path: "a", data: "1" }]]);
const base = JSON.parse(image.manifest.toString()) as Record<string, unknown>;
const parse = (document: object, mediaType?: string) => parseManifest(raw(json(document), mediaType), "x");

test("OCI and Docker documents are read", () => {
  const manifest = parseManifest(raw(image.manifest), "x");
  assert.equal(manifest.kind, "manifest");
  const docker = {
    ...base,
    mediaType: mediaTypes.dockerManifest,
    config: { ...(base["config"] as object), mediaType: "application/vnd.docker.container.image.v1+json" },
    layers: [
      { ...describe(Buffer.from("x"), "application/vnd.docker.image.rootfs.diff.tar.gzip"), urls: ["http://x/"] },
    ],
  };
  assert.equal(parse(docker, mediaTypes.dockerManifest).kind, "manifest");
  const entry = describe(image.manifest, mediaTypes.ociManifest);
  const index = parse({ schemaVersion: 2, manifests: [{ ...entry, platform: null }, entry] }, mediaTypes.dockerIndex);
  assert.equal(index.kind === "index" && index.entries.length, 2);
  const withoutType = { ...base };
  delete withoutType["mediaType"];
  assert.equal(parse(withoutType).kind, "manifest");
});

const layer = describe(Buffer.from("x"), mediaTypes.ociLayerGzip);
const refused: Record<string, [object, RegExp, string?]> = {
  "manifests and layers": [{ ...base, manifests: [] }, /lists both manifests and layers/],
  "an index that is a manifest too": [
    { ...base, mediaType: mediaTypes.ociIndex, manifests: [] },
    /both/,
    mediaTypes.ociIndex,
  ],
  "another media type than it came with": [{ ...base, mediaType: mediaTypes.ociIndex }, /contradicts itself/],
  "a media type that is a number": [{ ...base, mediaType: 1 }, /contradicts itself/],
  "a media type that is no image": [{ ...base, mediaType: "text/html" }, /which is no image/, "text/html"],
  "schema 1": [{ schemaVersion: 1, fsLayers: [] }, /old format/],
  "no schema": [{ ...base, schemaVersion: "2" }, /schemaVersion 2/],
  "a foreign layer": [
    {
      ...base,
      layers: [
        { ...layer, mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls: ["http://x"] },
      ],
    },
    /foreign layer \(layer 1 of 1\).*never followed/,
  ],
  "a non-distributable layer": [
    { ...base, layers: [{ ...layer, mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd" }] },
    /foreign layer/,
  ],
  "an encrypted layer": [
    { ...base, layers: [{ ...layer, mediaType: `${mediaTypes.ociLayerGzip}+encrypted` }] },
    /unknown kind/,
  ],
  "too many layers": [{ ...base, layers: Array.from({ length: maxLayers + 1 }, () => layer) }, /more than 512 layers/],
  "an unknown digest algorithm": [
    { ...base, layers: [{ ...layer, digest: `md5:${"0".repeat(32)}` }] },
    /not known: "md5:/,
  ],
  "a digest that is a path": [{ ...base, layers: [{ ...layer, digest: "sha256:../../etc/passwd" }] }, /not known/],
  "an upper-case digest": [{ ...base, layers: [{ ...layer, digest: layer.digest.toUpperCase() }] }, /not known/],
  "a negative size": [{ ...base, layers: [{ ...layer, size: -1 }] }, /layers\.0\.size/],
  "a fractional size": [{ ...base, layers: [{ ...layer, size: 1.5 }] }, /layers\.0\.size/],
  "an endless size": [{ ...base, layers: [{ ...layer, size: 1e300 }] }, /layers\.0\.size/],
  "a size that is text": [{ ...base, layers: [{ ...layer, size: "1" }] }, /layers\.0\.size/],
  "a huge config": [{ ...base, config: { ...(base["config"] as object), size: 2 ** 40 } }, /config .* larger than/],
  "an artifact": [
    { ...base, config: { ...(base["config"] as object), mediaType: "application/vnd.cncf.helm.config.v1+json" } },
    /no image but something else/,
  ],
  "no layers": [{ schemaVersion: 2, config: base["config"] }, /layers/],
  "layers that are an object": [{ ...base, layers: {} }, /layers/],
};
for (const [what, [document, message, mediaType]] of Object.entries(refused)) {
  test(`refused: ${what}`, () => {
    assert.throws(() => parse(document, mediaType), { code: "image.invalid", message });
  });
}

test("refused: what is no JSON object, is too large, or has another digest", () => {
  for (const text of ["", "[]", "null", "{", '"x"', "\ufeff{}", "[".repeat(100_000)]) {
    assert.throws(() => parseManifest(raw(Buffer.from(text)), "x"), { code: "image.invalid" }, text.slice(0, 20));
  }
  assert.throws(() => parseManifest(raw(Buffer.from([0x7b, 0xff, 0x7d])), "x"), { message: /not JSON/ });
  assert.throws(() => parseManifest(raw(Buffer.alloc(4 * 1024 * 1024 + 1, " ")), "x"), { message: /larger than/ });
  assert.throws(() => parseManifest({ ...raw(image.manifest), digest: digestOf(Buffer.from("y")) }, "x"), {
    message: /damaged/,
  });
  assert.throws(() => parseManifest({ ...raw(image.manifest), digest: "sha1:0" }, "x"), { message: /not known/ });
});

test("control characters of a document never stand in a message", () => {
  const document = { ...base, layers: [{ ...layer, mediaType: "\u001b[31mred\n" }] };
  assert.throws(
    () => parse(document),
    (error: Error) => !/[\u0000-\u001f]/.test(error.message),
  );
});

const manifestOf = (bytes: Buffer, layers = 1) => ({
  config: { mediaType: mediaTypes.ociConfig, digest: digestOf(bytes), sizeBytes: bytes.length },
  layers: Array.from({ length: layers }, () => ({
    mediaType: layer.mediaType,
    digest: layer.digest,
    sizeBytes: layer.size,
  })),
});
const config = (changes: object) => {
  const bytes = json({ ...(JSON.parse(image.config.toString()) as object), ...changes });
  return parseConfig(bytes, manifestOf(bytes), "x");
};

test("a config: what Go writes for empty, a default PATH, words as text", () => {
  const parsed = config({
    config: { Env: null, Entrypoint: "/run", Cmd: null, User: null, ExposedPorts: { "80/tcp": {} }, Volumes: null },
  });
  assert.deepEqual(parsed.entrypoint, ["/run"]);
  assert.deepEqual([parsed.command, parsed.user, parsed.exposedPorts, parsed.volumes], [[], "", ["80/tcp"], []]);
  assert.match(parsed.environment.join(), /^PATH=/);
  assert.deepEqual(config({ config: { Env: ["PATH=/x", "A=1", "novalue", "=x"] } }).environment, ["PATH=/x", "A=1"]);
  assert.deepEqual(config({ config: null, history: null }).environment.length, 1);
});

test("a config that is refused", () => {
  const diffIds = { type: "layers", diff_ids: [] };
  for (const [changes, message] of [
    [{ rootfs: diffIds }, /0 layers, the manifest of 1/],
    [{ rootfs: { type: "layers", diff_ids: ["sha256:x"] } }, /not known/],
    [{ rootfs: { type: "other", diff_ids: [] } }, /rootfs\.type/],
    [{ rootfs: null }, /rootfs/],
    [{ os: "windows" }, /for windows, not for linux/],
    [{ config: { Env: ["A=\0"] } }, /Env\.0/],
    [{ config: { Entrypoint: [1] } }, /Entrypoint/],
    [{ config: { Cmd: { a: 1 } } }, /Cmd/],
    [{ config: { User: "x".repeat(100_000) } }, /User/],
  ] as const) {
    assert.throws(() => config(changes), { code: "image.invalid", message }, JSON.stringify(changes).slice(0, 80));
  }
  assert.throws(() => parseConfig(Buffer.from("{}"), manifestOf(image.config), "x"), { message: /damaged/ });
});
