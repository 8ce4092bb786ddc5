// Blobs saved into files by another thread: whole and resumed, as the same somebody, with the same errors, and stopped.
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ClientRequest } from "node:http";
import { type FileHandle, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import type { SaveRequest } from "../../lib/oci-content.ts";
import { SharedCount } from "../../lib/shared-count.ts";
import { digestOf } from "../digest.ts";
import { openRepository } from "../repository.ts";
import { manifestType, never, quickLimits, sampleBytes, sampleManifest, send, serve } from "../testdata/servers.ts";

const blob = sampleBytes(2_500_000);
const descriptor = { mediaType: "x", digest: digestOf(blob), sizeBytes: blob.length };
const hexOf = (bytes: Buffer) => digestOf(bytes).slice("sha256:".length);
const startOf = (range: string | undefined): number => Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
let directory: string;
let path: string;
let file: FileHandle;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "banger-save-"));
  path = join(directory, "blob");
  file = await open(path, "wx+");
});
afterEach(async () => {
  await file.close();
  await rm(directory, { recursive: true });
});

const request = (more: Partial<SaveRequest> = {}): SaveRequest => ({
  ...{ fd: file.fd, haveBytes: 0, label: "the blob", count: new SharedCount(), onGrowth() {}, signal: never },
  ...more,
});
const openAt = (host: string) =>
  openRepository({ registry: host, repository: "some/app" }, { signal: never, limits: quickLimits });

test("this thread asks for the manifest and the token; the blob is asked for by another, with that token", async () => {
  const layer = sampleManifest(blob);
  await using registry = await serve((incoming, response) => {
    const { url = "", headers } = incoming;
    if (url.startsWith("/token")) return send(response, 200, '{"token":"T","expires_in":300}');
    if (headers.authorization !== "Bearer T") {
      const challenge = `Bearer realm="http://${headers.host}/token",service="s"`;
      return send(response, 401, "", { "www-authenticate": challenge });
    }
    return url.includes("/blobs/")
      ? send(response, 200, blob)
      : send(response, 200, layer.bytes, { "content-type": manifestType });
  });
  const asked: string[] = [];
  // Of this thread only.
  const note = (message: unknown) => void asked.push((message as { request: ClientRequest }).request.path);
  subscribe("http.client.request.start", note);
  try {
    using repository = openAt(registry.host);
    await repository.manifest("v1", { signal: never });
    const count = new SharedCount();
    const saved = await Promise.all([1, 2].map(() => repository.save(descriptor, request({ count }))));
    assert.deepEqual(saved, [hexOf(blob), hexOf(blob)]);
    assert.equal(count.value, blob.length);
  } finally {
    unsubscribe("http.client.request.start", note);
  }
  assert.ok((await readFile(path)).equals(blob));
  const paths = registry.log.map((entry) => entry.path);
  assert.equal(paths.filter((one) => one.includes("/blobs/")).length, 2, paths.join());
  assert.equal(paths.filter((one) => one.startsWith("/token")).length, 1, paths.join());
  assert.ok(asked.some((one) => one.includes("/manifests/")));
  assert.deepEqual(
    asked.filter((one) => one.includes("/blobs/")),
    [],
  );
});

test("what is there is kept and counts for the digest; a cut connection is taken up where it ended", async () => {
  await using registry = await serve((incoming, response) => {
    const start = startOf(incoming.headers.range);
    const range = { "content-range": `bytes ${start}-${blob.length - 1}/${blob.length}` };
    if (start >= 2_000_000) return send(response, 206, blob.subarray(start), range);
    response.writeHead(206, { ...range, "content-length": blob.length - start });
    response.write(blob.subarray(start, start + 900_000), () => response.destroy());
  });
  await file.write(blob.subarray(0, 400_000));
  using repository = openAt(registry.host);
  assert.equal(await repository.save(descriptor, request({ haveBytes: 400_000 })), hexOf(blob));
  assert.ok((await readFile(path)).equals(blob));
  assert.equal(registry.log[0]?.range, "bytes=400000-");
  assert.ok(registry.log.length > 1);
});

test("errors are those of the repository", async () => {
  await using registry = await serve((incoming, response) => {
    if (incoming.url?.includes(hexOf(Buffer.from("short"))) === true) return response.end("sho");
    if (incoming.url?.includes(hexOf(Buffer.from("secret"))) === true)
      return send(response, 401, "", { "www-authenticate": 'Basic realm="x"' });
    return send(response, 404, '{"errors":[{"code":"BLOB_UNKNOWN","message":"gone"}]}');
  });
  using repository = openAt(registry.host);
  const cases: [content: string, code: string, message: RegExp][] = [
    ["gone", "image.not-found", /does not have blob sha256:.*BLOB_UNKNOWN: gone/],
    ["secret", "registry.denied", /does not give blob/],
    ["short", "registry.failed", /it has 3 bytes instead of 5/],
  ];
  for (const [content, code, message] of cases) {
    const bytes = Buffer.from(content);
    const one = { mediaType: "x", digest: digestOf(bytes), sizeBytes: bytes.length };
    await assert.rejects(repository.save(one, request()), { code, message });
  }
  await assert.rejects(repository.save({ ...descriptor, digest: "md5:1" }, request()), { code: "image.invalid" });
});

test("stopped, it rejects with the reason, and another save goes on, also when the repository is disposed", async () => {
  const rest = Promise.withResolvers<void>();
  await using registry = await serve((_incoming, response) => {
    response.writeHead(200, { "content-length": blob.length });
    response.write(blob.subarray(0, 1_200_000));
    void rest.promise.then(() => response.end(blob.subarray(1_200_000)));
  });
  const stop = new AbortController();
  const grown = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const other = await open(join(directory, "other"), "wx+");
  const saves: Promise<string>[] = [];
  {
    using repository = openAt(registry.host);
    const count = new SharedCount();
    saves.push(
      repository.save(descriptor, request({ signal: stop.signal, count, onGrowth: grown[0].resolve })),
      repository.save(descriptor, request({ fd: other.fd, onGrowth: grown[1].resolve })),
    );
    await Promise.all(grown.map(({ promise }) => promise));
    assert.ok(count.value > 0);
  }
  const reason = new BangerError("cancelled", "enough");
  stop.abort(reason);
  await assert.rejects(saves[0] ?? assert.fail(), (error) => error === reason);
  rest.resolve();
  assert.equal(await saves[1], hexOf(blob));
  assert.ok((await readFile(join(directory, "other"))).equals(blob));
  await other.close();
});
