// Where a registry may send its client, and what goes along: tricks of redirects and addresses.
import assert from "node:assert/strict";
import { lookup as lookUpName } from "node:dns/promises";
import { once } from "node:events";
import type { RequestListener } from "node:http";
import { test } from "node:test";
import { promisify } from "node:util";
import { BangerError } from "../lib/errors.ts";
import { connectPolicy } from "./connect.ts";
import { digestOf } from "./digest.ts";
import { openRepository } from "./repository.ts";
import { never, quickLimits, sampleBytes, sampleManifest, send, serve } from "./testdata/servers.ts";

const blob = sampleBytes(1000);
const descriptor = { mediaType: "x", digest: digestOf(blob), sizeBytes: blob.length };
const credentials = () =>
  Promise.resolve({ credential: { kind: "password", username: "u", password: "p" } as const, origin: "the test" });

async function read(host: string): Promise<Buffer> {
  using repository = openRepository(
    { registry: host, repository: "some/app" },
    { signal: never, limits: quickLimits, credentials },
  );
  const stream = await repository.open(descriptor, { signal: never });
  return Buffer.concat(await (stream as AsyncIterable<Buffer> & { toArray(): Promise<Buffer[]> }).toArray());
}

const redirectTo =
  (location: string, status = 307): RequestListener =>
  (_request, response) =>
    send(response, status, "", { location });

test("a redirect to a blob store is followed, without credentials", async () => {
  await using store = await serve((_request, response) => send(response, 200, blob));
  await using registry = await serve((request, response) => {
    if (request.headers.authorization !== `Basic ${btoa("u:p")}`) {
      return send(response, 401, "", { "www-authenticate": 'Basic realm="x"' });
    }
    return send(response, 307, "", { location: `http://${store.host}/blob?signature=1#part` });
  });
  assert.ok((await read(registry.host)).equals(blob));
  assert.deepEqual(
    store.log.map(({ path, authorization }) => [path, authorization]),
    [["/blob?signature=1", undefined]],
  );
  assert.equal(registry.log.length, 2);
});

test("connections are used again, also after redirects and refusals", async () => {
  await using store = await serve((_request, response) => send(response, 200, blob));
  await using registry = await serve((request, response) =>
    request.headers.authorization === undefined
      ? send(response, 401, "denied", { "www-authenticate": 'Basic realm="x"' })
      : send(response, 307, "moved", { location: `http://${store.host}/blob` }),
  );
  using repository = openRepository({ registry: registry.host, repository: "a" }, { signal: never, credentials });
  for (let round = 0; round < 4; round++) {
    const stream = await repository.open(descriptor, { signal: never });
    stream.resume();
    await once(stream, "close");
  }
  assert.equal(store.connections, 1);
  assert.equal(registry.connections, 2, "one in TLS, which it does not speak, and one");
});

test("a store that asks for credentials gets none", async () => {
  await using store = await serve((_request, response) =>
    send(response, 401, "", { "www-authenticate": 'Basic realm="store"' }),
  );
  await using registry = await serve(redirectTo(`http://${store.host}/blob`));
  await assert.rejects(read(registry.host), { code: "registry.denied" });
  assert.deepEqual(
    [...store.log, ...registry.log].map(({ authorization }) => authorization),
    [undefined, undefined],
  );
});

test("a relative redirect on the same host keeps the credentials", async () => {
  await using registry = await serve((request, response) => {
    if (request.headers.authorization === undefined) {
      return send(response, 401, "", { "www-authenticate": 'Basic realm="x"' });
    }
    return request.url === "/elsewhere"
      ? send(response, 200, blob)
      : send(response, 302, "", { location: "/elsewhere" });
  });
  assert.ok((await read(registry.host)).equals(blob));
});

test("redirects to anywhere else are refused", async () => {
  const cases: Record<string, RegExp> = {
    "http://example.com/x": /it is not encrypted/,
    "https://10.0.0.1/x": /10.0.0.1 is a private address/,
    "https://192.168.1.1/x": /is a private address/,
    "https://169.254.169.254/latest/meta-data": /is a link-local address/,
    "https://[fd00::1]/x": /is a private address/,
    "https://[fe80::1]/x": /is a link-local address/,
    "https://[::ffff:10.0.0.1]/x": /is a private address/,
    "https://167772161/x": /10.0.0.1 is a private address/,
    "https://0x0a.1/x": /10.0.0.1 is a private address/,
    "https://0.0.0.0/x": /no address of a server/,
    "http://169.254.169.254/latest/meta-data": /it is not encrypted/,
    "file:///etc/passwd": /only https is followed/,
    "ftp://example.com/": /only https is followed/,
    "https://user:pw@example.com/": /it holds credentials/,
    "http://": /that is no address/,
  };
  for (const [location, why] of Object.entries(cases)) {
    await using registry = await serve(redirectTo(location));
    await assert.rejects(read(registry.host), (error) => {
      assert.ok(error instanceof BangerError && error.code === "registry.failed", `${location}: ${String(error)}`);
      assert.match(error.message, why, location);
      assert.doesNotMatch(error.message, /pw/);
      return true;
    });
    assert.equal(registry.log.length, 1, "it is final");
  }
  await using nowhere = await serve((_request, response) => send(response, 302, ""));
  await assert.rejects(read(nowhere.host), /that is no address/);
});

test("redirects end", async () => {
  await using registry = await serve((request, response) => send(response, 302, "", { location: `${request.url}x` }));
  await assert.rejects(read(registry.host), /redirect 6 in a row/);
  assert.equal(registry.log.length, 6);
});

test("the address that a name has decides, for hosts that the registry names", async () => {
  using policy = connectPolicy({ endpoint: "registry.example", insecure: false });
  const look = async (url: string) => {
    const { lookup } = policy.route(new URL(url));
    return promisify(lookup)(new URL(url).hostname, { all: true });
  };
  const [first] = await lookUpName("localhost", { all: true });
  assert.ok(first !== undefined, "this host knows localhost");
  await assert.rejects(look("https://localhost/"), (error: Error) => {
    assert.match(error.message, /will not connect to "localhost": (127.0.0.1|::1) is a loopback address/);
    return true;
  });
  // Names may have any addresses. Where an answer came from counts, and only when it is one of them.
  using trap = connectPolicy({ endpoint: "localhost:5000", insecure: false });
  const refused = /is a private address|is a loopback address/;
  trap.route(new URL("https://localhost:5000/"));
  assert.throws(() => trap.route(new URL("https://127.0.0.1/")), refused);
  trap.answered(new URL("https://localhost:5000/"), "127.0.0.1");
  assert.throws(() => trap.route(new URL("https://127.0.0.1/")), refused, "that may have been a proxy");
  using there = connectPolicy({ endpoint: "127.0.0.1:5000", insecure: false });
  there.route(new URL("https://127.0.0.1:5000/"));
  there.answered(new URL("https://127.0.0.1:5000/"), "127.0.0.1");
  there.route(new URL("https://127.0.0.2/"));
  assert.throws(() => there.route(new URL("https://10.0.0.1/")), refused);

  using local = connectPolicy({ endpoint: "localhost:5000", insecure: false });
  const { lookup } = local.route(new URL("http://localhost:5000/"));
  assert.ok(((await promisify(lookup)("localhost", { all: true })) as unknown as unknown[]).length > 0);
});

test("plain HTTP is for this machine, or for what the user calls insecure", () => {
  const plain = (endpoint: string, insecure: boolean, url: string) => {
    using policy = connectPolicy({ endpoint, insecure });
    return policy.mayBePlain(new URL(url));
  };
  assert.equal(plain("registry.example", false, "http://registry.example/"), false);
  assert.equal(plain("registry.example", true, "http://registry.example/"), true);
  assert.equal(plain("registry.example", true, "http://other.example/"), false);
  assert.equal(plain("localhost:5000", false, "http://localhost:5000/"), true);
  assert.equal(plain("127.0.0.1:5000", false, "http://127.8.0.1/"), true);
  assert.equal(plain("[::1]:5000", false, "http://[::1]:5000/"), true);
  assert.equal(plain("localhost.example", false, "http://localhost.example/"), false);
  using policy = connectPolicy({ endpoint: "10.0.0.1", insecure: false });
  assert.throws(() => policy.route(new URL("http://10.0.0.1/")), /10.0.0.1/);
});

test("errors of the server are tried again, and its own words are told in the end", async () => {
  const manifest = sampleManifest(blob);
  const answers = [429, 503, 500];
  await using registry = await serve((_request, response) => {
    const status = answers.shift();
    if (status !== undefined) return send(response, status, "", { "retry-after": "0" });
    return send(response, 200, manifest.bytes, { "docker-content-digest": "sha256:lie" });
  });
  using repository = openRepository(
    { registry: registry.host, repository: "a" },
    { signal: never, limits: quickLimits },
  );
  const got = await repository.manifest("latest", { signal: never });
  assert.equal(got.digest, manifest.digest);
  assert.equal(registry.log.length, 4);

  await using busy = await serve((_request, response) =>
    send(response, 429, JSON.stringify({ errors: [{ code: "TOOMANYREQUESTS", message: "slow\u001b down" }] }), {
      "retry-after": "86400",
    }),
  );
  using other = openRepository({ registry: busy.host, repository: "a" }, { signal: never, limits: quickLimits });
  await assert.rejects(other.manifest("latest", { signal: never }), {
    code: "registry.failed",
    message: `"${busy.host}" fails to give the image "${busy.host}/a:latest": TOOMANYREQUESTS: slow down (HTTP status 429); it asks to come again in 86400 s`,
  });
  assert.equal(busy.log.length, 1, "a wait that long is not waited");
});

test("manifests that are too long, of another digest, or cut are refused", async () => {
  const manifest = sampleManifest(blob);
  const get = async (handler: RequestListener, reference: string) => {
    await using registry = await serve(handler);
    using repository = openRepository(
      { registry: registry.host, repository: "a" },
      { signal: never, limits: quickLimits },
    );
    return await repository.manifest(reference, { signal: never });
  };
  const good: RequestListener = (_request, response) => send(response, 200, manifest.bytes);
  assert.equal((await get(good, manifest.digest)).digest, manifest.digest);
  assert.equal((await get(good, digestOf(manifest.bytes, "sha512:"))).digest, digestOf(manifest.bytes, "sha512:"));
  const other = digestOf(Buffer.from("other"));
  await assert.rejects(get(good, other), { code: "image.invalid", message: /gives something else than the image/ });
  const long = Buffer.alloc(4 * 1024 * 1024 + 1, " ");
  await assert.rejects(
    get((_request, response) => send(response, 200, long), "v1"),
    /a document of more than 4194304 bytes/,
  );
  const endless: RequestListener = (_request, response) => {
    const more = () => void (response.writable && response.write(Buffer.alloc(65_536, " "), more));
    more();
  };
  await assert.rejects(get(endless, "v1"), /a document of more than 4194304 bytes/);
  for (const reference of ["..", "a/b", "", "sha256:00", "a?b", "a%2f", "x\n"]) {
    await assert.rejects(get(good, reference), { code: "image.reference-invalid" }, reference);
  }
});
