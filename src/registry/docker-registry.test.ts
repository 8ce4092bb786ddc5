// Against a real registry server, with images that a real client has pushed: plain, with passwords, tokens, TLS, and a proxy.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createPrivateKey, randomUUID, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, request as httpRequest } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { storedCredentials } from "./credentials.ts";
import { digestOf } from "./digest.ts";
import { login } from "./login.ts";
import { parseReference } from "./reference.ts";
import { SharedCount } from "../lib/shared-count.ts";
import { openRepository, type RepositoryOptions } from "./repository.ts";
import { makeCertificate } from "./testdata/certificate.ts";
import { startRegistry } from "./testdata/docker-registry.ts";
import { never, sampleBytes, send, serve } from "./testdata/servers.ts";

const exec = promisify(execFile);
/** Compressed already: the client that pushes would do that, and make other blobs of them. */
const layers = [sampleBytes(1_500_000, 7), sampleBytes(20_000, 8)].map((bytes) => gzipSync(bytes));
/** User "user", password "right", as htpasswd with bcrypt writes it. */
const htpasswd = "user:$2y$05$d/1nsn6MTJXKZ2rAdAays.pcTLsKJhMIW43TjQ40bi3JMwQFzPu8u\n";
const oci = (kind: string) => `application/vnd.oci.image.${kind}`;

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), "banger-registry-"));
  await writeLayout(join(dir, "layout"));
});
after(() => rm(dir, { recursive: true }));

/** An OCI layout with an index of two platforms, named "v1". */
async function writeLayout(layout: string): Promise<void> {
  const blobs = join(layout, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  const put = async (mediaType: string, content: Buffer | object) => {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const digest = digestOf(bytes);
    await writeFile(join(blobs, digest.slice("sha256:".length)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const parts = await Promise.all(layers.map((layer) => put(oci("layer.v1.tar+gzip"), layer)));
  const image = async (architecture: string) => {
    const rootfs = { type: "layers", diff_ids: parts.map(({ digest }) => digest) };
    const config = await put(oci("config.v1+json"), { architecture, os: "linux", rootfs, config: {} });
    const mediaType = oci("manifest.v1+json");
    const manifest = await put(mediaType, { schemaVersion: 2, mediaType, config, layers: parts });
    return { ...manifest, platform: { os: "linux", architecture } };
  };
  const mediaType = oci("index.v1+json");
  const manifests = [await image("amd64"), await image("arm64")];
  const index = await put(mediaType, { schemaVersion: 2, mediaType, manifests });
  const named = { ...index, annotations: { "org.opencontainers.image.ref.name": "v1" } };
  await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
  await writeFile(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

/** Pushes the layout with skopeo. */
async function push(to: string, ...args: string[]): Promise<void> {
  const policy = ["--insecure-policy", "--tmpdir", dir];
  await exec(
    "skopeo",
    [...policy, "copy", "--all", "--dest-tls-verify=false", ...args, `oci:${join(dir, "layout")}:v1`, `docker://${to}`],
    { timeout: 60_000, env: { ...process.env, HOME: dir } },
  );
}

interface Document {
  manifests?: { digest: string }[];
  layers?: { mediaType: string; digest: string; size: number }[];
}

/** Pulls index, the first manifest, and its blobs, each from `offset` here and as a whole in the other thread; checks them. */
async function pull(name: string, options: Partial<RepositoryOptions> = {}, offset = 0): Promise<string[]> {
  const reference = parseReference(name);
  using repository = openRepository(reference, { signal: never, ...options });
  const top = await repository.manifest(reference.digest ?? reference.tag ?? "", { signal: never });
  assert.equal(digestOf(top.bytes), top.digest);
  const types = [top.mediaType];
  let document = JSON.parse(top.bytes.toString()) as Document;
  const [child] = document.manifests ?? [];
  if (child !== undefined) {
    const manifest = await repository.manifest(child.digest, { signal: never });
    assert.equal(manifest.digest, child.digest);
    types.push(manifest.mediaType);
    document = JSON.parse(manifest.bytes.toString()) as Document;
  }
  assert.equal(document.layers?.length, layers.length);
  await Promise.all(
    document.layers.map(async ({ size: sizeBytes, ...descriptor }, index) => {
      const chunks: Buffer[] = [];
      const stream = await repository.open({ ...descriptor, sizeBytes }, { offset, signal: never });
      for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
      assert.ok(Buffer.concat(chunks).equals(layers[index]?.subarray(offset) ?? Buffer.alloc(0)), `layer ${index}`);
      await using file = await open(join(dir, `saved-${index}`), "w+");
      const request = { fd: file.fd, haveBytes: 0, label: "a layer", count: new SharedCount(), onGrowth() {} };
      const saved = await repository.save({ ...descriptor, sizeBytes }, { ...request, signal: never });
      assert.equal(`sha256:${saved}`, descriptor.digest);
    }),
  );
  return types;
}

test("images in both formats, by tag and by digest, whole and from an offset", async () => {
  await using registry = await startRegistry();
  await push(`${registry.host}/some/app:v1`);
  assert.deepEqual(await pull(`${registry.host}/some/app:v1`), [oci("index.v1+json"), oci("manifest.v1+json")]);
  await pull(`${registry.host}/some/app:v1`, {}, 10_000);
  const index = JSON.parse(await readFile(join(dir, "layout", "index.json"), "utf8")) as {
    manifests: { digest: string }[];
  };
  await pull(`${registry.host}/some/app:ignored@${index.manifests[0]?.digest}`);

  await push(`${registry.host}/other:2`, "--format", "v2s2");
  assert.deepEqual(await pull(`${registry.host}/other:2`), [
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
  ]);

  await assert.rejects(pull(`${registry.host}/some/app:v2`), {
    code: "image.not-found",
    message: `"${registry.host}" does not have the image "${registry.host}/some/app:v2": MANIFEST_UNKNOWN: manifest unknown`,
  });
  await assert.rejects(pull(`${registry.host}/missing@sha256:${"0".repeat(64)}`), { code: "image.not-found" });
});

test("a registry that is not there", async () => {
  const { host } = await (async () => {
    await using registry = await startRegistry();
    return registry;
  })();
  await assert.rejects(pull(`${host}/x`), { code: "registry.unreachable", message: /nothing listens there/ });
});

test("with a password: nobody gets in, login proves it, then pulls work", async () => {
  await using registry = await startRegistry({ htpasswd });
  const name = `${registry.host}/private/app:v1`;
  await push(name, "--dest-creds", "user:right");
  const authFile = join(dir, "auth.json");
  const credentials = storedCredentials({ authFile, env: {} });
  await assert.rejects(pull(name, { credentials }), {
    code: "registry.denied",
    hint: `banger registry login ${registry.host}`,
    message: /does not give the image "127.0.0.1:\d+\/private\/app:v1": UNAUTHORIZED: authentication required$/,
  });
  const options = { registry: registry.host, username: "user", authFile, signal: never };
  await assert.rejects(login({ ...options, password: "wrong" }), { code: "registry.denied" });
  await login({ ...options, password: "right" });
  await pull(name, { credentials });
});

/** A token server whose tokens docker-registry takes; they say what was asked for. */
async function serveTokens(files: { key: string; cert: string }) {
  const key = createPrivateKey(await readFile(files.key));
  const certificate = new X509Certificate(await readFile(files.cert));
  const part = (content: object) => Buffer.from(JSON.stringify(content)).toString("base64url");
  return serve((request, response) => {
    const url = new URL(request.url ?? "", "http://x");
    if (request.headers.authorization !== `Basic ${btoa("user:right")}`) {
      return send(response, 401, '{"details":"incorrect username or password"}');
    }
    const [type, name, actions = ""] = (url.searchParams.get("scope") ?? "").split(":");
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      ...{ iss: "the test", sub: "user", aud: "the service", jti: randomUUID() },
      ...{ iat: now - 10, nbf: now - 10, exp: now + 300 },
      access: name === undefined ? [] : [{ type, name, actions: actions.split(",") }],
    };
    const head = { typ: "JWT", alg: "ES256", x5c: [certificate.raw.toString("base64")] };
    const content = `${part(head)}.${part(claims)}`;
    const signature = sign("sha256", Buffer.from(content), { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
    return send(response, 200, JSON.stringify({ token: `${content}.${signature}`, expires_in: 300 }));
  });
}

test("with a token server: one token for index, manifests and blobs", async () => {
  const files = makeCertificate(dir);
  await using tokens = await serveTokens(files);
  await using registry = await startRegistry({
    token: {
      realm: `http://${tokens.host}/token`,
      service: "the service",
      issuer: "the test",
      rootcertbundle: files.cert,
    },
  });
  const name = `${registry.host}/private/app:v1`;
  await push(name, "--dest-creds", "user:right");
  tokens.log.length = 0;
  const credentials = () =>
    Promise.resolve({
      credential: { kind: "password", username: "user", password: "right" } as const,
      origin: "the test",
    });
  await pull(name, { credentials });
  assert.deepEqual(
    tokens.log.map(({ path }) => new URL(path, "http://x").searchParams.get("scope")),
    ["repository:private/app:pull"],
  );
  await assert.rejects(pull(name), {
    code: "registry.denied",
    message: /gives no token: incorrect username or password$/,
    hint: `banger registry login ${registry.host}`,
  });
  await login({
    registry: registry.host,
    username: "user",
    password: "right",
    authFile: join(dir, "auth.json"),
    signal: never,
  });
});

test("over TLS: an authority of one's own, an unknown one, and insecure", async () => {
  const files = makeCertificate(dir);
  await using registry = await startRegistry({ tls: files });
  const name = `${registry.host}/some/app:v1`;
  await push(name);
  await assert.rejects(pull(name), {
    code: "registry.unreachable",
    message: /its certificate is not trusted/,
    hint: /export NODE_EXTRA_CA_CERTS=/,
  });
  await pull(name, { insecure: true });
  // The variable counts from the start of a process.
  const script = `
    const { openRepository } = await import(${JSON.stringify(join(import.meta.dirname, "repository.ts"))});
    const signal = new AbortController().signal;
    using repository = openRepository({ registry: ${JSON.stringify(registry.host)}, repository: "some/app" }, { signal });
    console.log((await repository.manifest("v1", { signal })).mediaType);`;
  const { stdout } = await exec(process.execPath, ["--input-type=module", "-e", script], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: files.cert },
    timeout: 60_000,
  });
  assert.equal(stdout.trim(), oci("index.v1+json"));
});

test("through a proxy, which then finds the host", async () => {
  await using registry = await startRegistry({ tls: makeCertificate(dir) });
  await using plainRegistry = await startRegistry();
  await push(`${registry.host}/some/app:v1`);
  await push(`${plainRegistry.host}/some/app:v1`);
  const seen: string[] = [];
  const proxy = createServer((incoming, outgoing) => {
    seen.push(`GET ${new URL(incoming.url ?? "").host}`);
    const [host, port] = plainRegistry.host.split(":");
    const { pathname } = new URL(incoming.url ?? "");
    httpRequest({ host, port, path: pathname, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(outgoing);
    }).end();
  });
  proxy.on("connect", (request, socket: Socket) => {
    seen.push(`CONNECT ${request.url}`);
    if (request.url?.startsWith("plain.invalid") === true) {
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    const target = connect(Number(registry.host.split(":")[1]), "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(target).pipe(socket);
    });
    target.on("error", () => socket.destroy());
    socket.on("error", () => target.destroy());
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  process.env["HTTPS_PROXY"] = url;
  process.env["HTTP_PROXY"] = url;
  try {
    await pull("registry.invalid/some/app:v1", { insecure: true });
    assert.deepEqual([...new Set(seen)], ["CONNECT registry.invalid:443"]);
    seen.length = 0;
    await pull("plain.invalid/some/app:v1", { insecure: true });
    assert.ok(seen.includes("GET plain.invalid"), seen.join());
    seen.length = 0;
    // This machine is never asked of a proxy.
    await pull(`${plainRegistry.host}/some/app:v1`);
    assert.deepEqual(seen, []);
  } finally {
    delete process.env["HTTPS_PROXY"];
    delete process.env["HTTP_PROXY"];
    proxy.closeAllConnections();
    proxy.close();
    await once(proxy, "close");
  }
});
