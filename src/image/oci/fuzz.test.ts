// Random documents and archives of images: each is an image that can be used, or a BangerError that says what is wrong.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { quietProgress } from "../../lib/progress.ts";
import { fuzz, pick } from "../../lib/testdata/fuzz.ts";
import type { Random } from "../../lib/testdata/fuzz.ts";
import { archive } from "../testdata/archive.ts";
import { digestOf, isDigest } from "./digest.ts";
import { mediaTypes } from "./media-types.ts";
import { openImage } from "./open-image.ts";
import { hostPlatform } from "./platform.ts";
import { resolveImage } from "./resolve-image.ts";
import { describe, json, makeImage, MemoryRepository } from "./testdata/layout.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-fuzz-oci-"));
after(() => rmSync(directory, { recursive: true }));
const progress = quietProgress(new AbortController().signal);
const { signal } = progress;
const image = makeImage([[{ path: "a", data: "one" }], [{ path: "b", data: "two" }]], {
  config: { Entrypoint: ["/run"], Env: ["A=1"], User: "1", Labels: { a: "b" }, ExposedPorts: { "80/tcp": {} } },
});
const index = json({
  schemaVersion: 2,
  mediaType: mediaTypes.ociIndex,
  manifests: [{ ...describe(image.manifest, mediaTypes.ociManifest), platform: hostPlatform(), annotations: {} }],
});

/** Any JSON value, odd ones most of all. */
function anything(random: Random, depth = 0): unknown {
  const odd = [null, true, 0, -1, 1.5, 2 ** 53, 1e300, "", "x", "\u001b[2J", "\u202e", "\0", "../../x", "sha256:00"];
  const types = [...Object.values(mediaTypes), image.digest, "application/vnd.oci.image.layer.v1.tar+zstd"];
  if (depth > 3 || random(3) > 0) return pick<unknown>(random, [...odd, ...types]);
  const values = Array.from({ length: random(4) }, () => anything(random, depth + 1));
  if (random(2) === 0) return values;
  return Object.fromEntries(
    values.map((value) => [pick(random, ["layers", "digest", "size", "__proto__", "x"]), value]),
  );
}

/** The value with one part of it replaced, removed, doubled or nested. */
function changed(random: Random, value: unknown): unknown {
  const isContainer = typeof value === "object" && value !== null;
  if (!isContainer || random(6) === 0) return anything(random);
  const keys = Object.keys(value);
  const key = pick(random, keys);
  if (keys.length === 0) return anything(random);
  if (Array.isArray(value)) {
    const list = [...(value as unknown[])];
    const at = Number(key);
    const kind = random(5);
    if (kind === 0) list.splice(at, 1);
    else if (kind === 1) list.push(...list.slice(0, 3));
    else list[at] = changed(random, list[at]);
    return list;
  }
  const copy: Record<string, unknown> = { ...value };
  const kind = random(8);
  if (kind === 0) delete copy[key];
  else if (kind === 1) copy[pick(random, ["layers", "manifests", "config", "mediaType"])] = anything(random);
  else copy[key] = changed(random, copy[key]);
  return copy;
}

function document(random: Random, bytes: Buffer): Buffer {
  if (random(3) === 0) return bytes;
  if (random(12) === 0) {
    const damaged = Buffer.from(bytes);
    damaged[random(damaged.length)] = random(256);
    return random(2) === 0 ? damaged : damaged.subarray(0, random(damaged.length));
  }
  let value: unknown = JSON.parse(bytes.toString());
  for (let change = random(3); change >= 0; change--) value = changed(random, value);
  return json(value);
}

async function tried<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BangerError)) throw error;
    assert.ok(error.code.startsWith("image."), error.code);
    assert.doesNotMatch(error.message + (error.hint ?? ""), /[\p{Cc}\p{Cf}]/u);
    assert.ok(error.message.length < 3000);
    return undefined;
  }
}

/** What may be relied on in an image that was taken. */
function check({ manifest, config }: Awaited<ReturnType<typeof resolveImage>>): void {
  assert.equal(manifest.layers.length, config.diffIds.length);
  for (const { digest, sizeBytes } of manifest.layers) assert.ok(isDigest(digest) && Number.isSafeInteger(sizeBytes));
  for (const digest of config.diffIds) assert.ok(isDigest(digest));
  const words = [...config.entrypoint, ...config.command, ...config.environment, config.user, config.workdir];
  for (const word of words) assert.ok(typeof word === "string" && !word.includes("\0"));
}

fuzz("manifests, indexes and configs", 400, async (random) => {
  const repository = new MemoryRepository();
  const config = document(random, image.config);
  // Digests fit again after a change, or nothing behind the first would be seen.
  const described = random(5) === 0 ? {} : { config: describe(config, mediaTypes.ociConfig) };
  const manifest = document(random, json({ ...(JSON.parse(image.manifest.toString()) as object), ...described }));
  const entry = { ...describe(manifest, mediaTypes.ociManifest), platform: hostPlatform() };
  const list = document(random, json({ ...(JSON.parse(index.toString()) as object), manifests: [entry] }));
  for (const bytes of [config, manifest, list]) repository.blobs.set(digestOf(bytes), bytes);
  const raw = (bytes: Buffer, mediaType: string) => ({ bytes, mediaType, digest: digestOf(bytes) });
  repository.tags.set("list", raw(list, mediaTypes.ociIndex));
  repository.tags.set("one", raw(manifest, pick(random, [mediaTypes.ociManifest, mediaTypes.dockerManifest])));
  repository.manifest = async (reference) => {
    const known = repository.tags.get(reference);
    if (known !== undefined) return known;
    const bytes = repository.blobs.get(reference);
    if (bytes === undefined) throw new BangerError("image.not-found", "no such manifest");
    return raw(bytes, mediaTypes.ociManifest);
  };
  repository.open = ((open) => async (descriptor, options) => {
    if (!repository.blobs.has(descriptor.digest)) throw new BangerError("image.not-found", "no such blob");
    return open(descriptor, options);
  })(repository.open.bind(repository));
  for (const reference of ["list", "one"]) {
    const found = await tried(() => resolveImage(repository, reference, { shown: "x", signal }));
    if (found !== undefined) check(found);
  }
});

const layout = [
  { path: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
  { path: "index.json", data: index },
  ...[...image.blobs].map(([digest, data]) => ({ path: `blobs/${digest.replace(":", "/")}`, data })),
];
const docker = [
  { path: "manifest.json", data: json([{ Config: "c.json", RepoTags: ["a:1"], Layers: ["0.tar", "1.tar"] }]) },
  { path: "c.json", data: image.config },
  ...image.layers.map((data, number) => ({ path: `${number}.tar`, data })),
];

fuzz("archives of images", 150, async (random, seed) => {
  const entries = pick(random, [layout, docker]).map(({ path, data }) => ({
    path,
    data: /json|layout/.test(path) && random(3) === 0 ? document(random, Buffer.from(data)) : data,
  }));
  const bytes = archive(entries);
  for (let change = random(3); change > 0; change--) {
    const at = random(bytes.length);
    bytes.fill(random(256), at, Math.min(bytes.length, at + pick(random, [1, 8, 100, 512])));
  }
  const path = join(directory, `${seed}.tar`);
  writeFileSync(path, random(5) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes);
  await tried(async () => {
    await using file = await openImage(path, { stagingRoot: join(directory, "staging"), maxBytes: 1e7 }, progress);
    if (file === undefined) return;
    const found = await resolveImage(file.source, "", { shown: "x", signal });
    check(found);
    for (const layer of found.manifest.layers)
      (await file.source.open(layer, { signal })).on("error", () => {}).destroy();
  });
  rmSync(path);
  assert.deepEqual(readdirSync(directory), []);
});
