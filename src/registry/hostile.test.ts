// Registries that break the rules of HTTP, flood, drip and mislead: each ends in an error that names the host and the reason.
import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { describe, test } from "node:test";
import { resolveImage } from "../image/oci/resolve-image.ts";
import { describe as descriptor, json, makeImage } from "../image/oci/testdata/layout.ts";
import { mediaTypes } from "../image/oci/media-types.ts";
import { BangerError } from "../lib/errors.ts";
import { digestOf } from "./digest.ts";
import type { RegistryLimits } from "./limits.ts";
import { openRepository } from "./repository.ts";
import { manifestType, never, sampleBytes, sampleManifest, send, serve } from "./testdata/servers.ts";

const blob = sampleBytes(100_000);
const manifest = sampleManifest(blob);
const blobDescriptor = { mediaType: "x", digest: digestOf(blob), sizeBytes: blob.length };
/** Short enough for a test; what is tried here never ends by itself. */
const limits: Partial<RegistryLimits> = {
  answerTimeoutMs: 300,
  documentTimeoutMs: 300,
  idleTimeoutMs: 300,
  rateWindowMs: 300,
  blobTimeoutMs: 3000,
  attempts: 2,
  firstPauseMs: 1,
  longestPauseMs: 2,
};

/** A server that answers each request with these bytes, or does what it likes with the connection. */
async function rawServer(answer: string | Buffer | ((socket: Socket, request: string) => void)) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (data) => {
      const request = data.toString("latin1");
      // The beginning of TLS.
      if (request.startsWith("\u0016")) socket.destroy();
      else if (typeof answer === "function") answer(socket, request);
      else socket.end(answer);
    });
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}

async function fetchFrom(host: string, what: "manifest" | "blob"): Promise<Buffer> {
  using repository = openRepository({ registry: host, repository: "a/b" }, { signal: never, limits });
  if (what === "manifest") return (await repository.manifest("v1", { signal: never })).bytes;
  const stream = await repository.open(blobDescriptor, { signal: never });
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    bytes += piece.length;
    assert.ok(bytes <= blob.length, "never more than was asked for");
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

async function refused(host: string, what: "manifest" | "blob", why: RegExp): Promise<void> {
  const error: unknown = await fetchFrom(host, what).then(
    () => assert.fail("was accepted"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof BangerError, String(error));
  assert.ok(
    ["registry.failed", "registry.unreachable", "image.invalid", "image.not-found", "timeout"].includes(error.code),
  );
  assert.match(error.message, why);
  assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}]/u, "no control characters");
  assert.ok(error.message.length < 1000, "the message is bounded");
}

const head = (status: string, headers: Record<string, string | number>) =>
  `HTTP/1.1 ${status}\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`;
const ok = (headers: Record<string, string | number> = {}) => head("200 OK", headers);

describe("refused: what is no HTTP", () => {
  const cases: Record<string, readonly [answer: Parameters<typeof rawServer>[0], why: RegExp]> = {
    nothing: [(socket) => socket.destroySoon(), /cut|cannot/],
    "another protocol": ["SSH-2.0-OpenSSH_9.2\r\n", /cannot|cut/],
    "a reset": [(socket) => socket.resetAndDestroy(), /cut|cannot/],
    "headers without an end": [(socket) => drip(socket, "x: y\r\n", ok().slice(0, -2)), /no answer within/],
    "headers of 100 kB": [ok({ "x-long": "y".repeat(100_000) }), /cannot|overflow/i],
    "100,000 headers": [`${ok().slice(0, -2)}${"a: b\r\n".repeat(100_000)}\r\n`, /cannot|overflow/i],
    "early hints for ever": [
      (socket) => drip(socket, "HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n"),
      /no answer within/,
    ],
    "two lengths": [
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 100000\r\n\r\nhello",
      /cannot|cut|as asked/,
    ],
    "a length and chunks": [
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      /cannot|cut|as asked/,
    ],
    "chunks of another number": [
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n",
      /cannot|cut|ended/,
    ],
    "a header with a line end in it": ["HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n", /cannot|cut/],
    "a switch of protocols": [
      "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
      /another protocol/,
    ],
    "a status of four digits": ["HTTP/1.1 2000 OK\r\n\r\n", /cannot|cut/],
  };
  for (const [name, [answer, why]] of Object.entries(cases)) {
    for (const what of ["manifest", "blob"] as const) {
      test(`${name}, for a ${what}`, async () => {
        await using server = await rawServer(answer);
        await refused(server.host, what, why);
      });
    }
  }
});

function drip(socket: Socket, piece: string, first = ""): void {
  socket.write(first);
  const timer = setInterval(() => socket.writable && socket.write(piece), 20);
  socket.once("close", () => clearInterval(timer));
}

describe("refused: answers", () => {
  const body = manifest.bytes;
  const cases: Record<string, readonly ["manifest" | "blob", RequestListener, RegExp]> = {
    "a manifest that drips": [
      "manifest",
      (_request, response) => {
        response.writeHead(200, { "content-type": manifestType });
        const timer = setInterval(() => response.write(" "), 20);
        response.once("close", () => clearInterval(timer));
      },
      /did not end within/,
    ],
    "a manifest that is cut": [
      "manifest",
      (_request, response) => {
        response.writeHead(200, { "content-length": body.length });
        response.write(body.subarray(0, 10), () => response.destroy());
      },
      /cut/,
    ],
    "a manifest that says it is huge": [
      "manifest",
      (_request, response) => {
        response.writeHead(200, { "content-length": 2 ** 40 });
        response.write("{");
      },
      /more than 4194304 bytes/,
    ],
    "an error of 1 GB": [
      "manifest",
      (_request, response) => {
        response.writeHead(403);
        const more = () => void (response.writable && response.write(Buffer.alloc(65_536, "x"), more));
        more();
      },
      /HTTP status 403|does not give/,
    ],
    "an error that speaks in control characters": [
      "manifest",
      (_request, response) => send(response, 404, json({ errors: [{ code: "\u001b[2J", message: "\u202ex\n" }] })),
      /does not have/,
    ],
    "a success of another kind": ["blob", (_request, response) => send(response, 204, ""), /204/],
    "several ranges at once": [
      "blob",
      (_request, response) => send(response, 206, blob, { "content-type": "multipart/byteranges; boundary=x" }),
      /a part of it came although all was asked for/,
    ],
    "a blob of half its length, for ever": [
      "blob",
      (request, response) => {
        const at = Number(/\d+/.exec(request.headers.range ?? "")?.[0] ?? 0);
        const range = `bytes ${at}-${blob.length - 1}/${blob.length}`;
        response.writeHead(at === 0 ? 200 : 206, at === 0 ? {} : { "content-range": range });
        response.end(at === 0 ? blob.subarray(0, 50_000) : "");
      },
      /ended after 50000 of 100000 bytes/,
    ],
    "a range that is right, with more bytes than it says": [
      "blob",
      (request, response) => {
        const at = Number(/\d+/.exec(request.headers.range ?? "")?.[0] ?? 0);
        const range = `bytes ${at}-${blob.length - 1}/${blob.length}`;
        response.writeHead(at === 0 ? 200 : 206, at === 0 ? {} : { "content-range": range });
        response.end(at === 0 ? blob.subarray(0, 99_000) : Buffer.alloc(5000));
      },
      /gives more than the 100000 bytes/,
    ],
    "a challenge for ever": [
      "manifest",
      (request, response) =>
        send(response, request.url?.startsWith("/token") === true ? 200 : 401, '{"token":"t"}', {
          "www-authenticate": `Bearer realm="http://${request.headers.host}/token"`,
        }),
      /does not give/,
    ],
  };
  for (const [name, [what, handler, why]] of Object.entries(cases)) {
    test(name, async () => {
      await using server = await serve(handler);
      const error: unknown = await fetchFrom(server.host, what).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof BangerError, String(error));
      assert.match(error.message, why);
      assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}]/u);
      assert.ok(server.log.length < 12, `${server.log.length} requests`);
    });
  }
});

describe("refused: redirects", () => {
  const cases: Record<string, readonly [location: (host: string) => string, why: RegExp]> = {
    "in a circle of two hosts": [(host) => `http://${other(host)}/x`, /redirect 6 in a row/],
    "to a socket of this machine": [() => "unix:///run/docker.sock", /only https is followed/],
    "to a script": [() => "javascript:alert(1)", /only https is followed/],
    "to data": [() => "data:application/json,{}", /only https is followed/],
    "to gopher": [() => "gopher://127.0.0.1:70/x", /only https is followed/],
    "to the metadata of a cloud by number": [() => "https://2852039166/", /link-local address/],
    "to the metadata of a cloud by IPv6": [() => "https://[fd00:ec2::254]/", /private address/],
    "to this machine in another spelling, unencrypted": [() => "http://0177.0.0.1.example/", /not encrypted/],
    "to a name with a password": [() => "https://u:p@example.com/", /holds credentials/],
    "to a very long address": [() => `https://example.com/${"x".repeat(20_000)}`, /no address/],
    "with control characters": [() => "https://exa\u0001mple.com/", /no address|cannot/],
  };
  const other = (host: string) =>
    host.startsWith("127.0.0.1") ? host.replace("127.0.0.1", "localhost") : host.replace("localhost", "127.0.0.1");
  for (const [name, [location, why]] of Object.entries(cases)) {
    test(name, async () => {
      await using server = await rawServer((socket, request) => {
        const host = /^host: (.*)\r$/im.exec(request)?.[1] ?? "";
        socket.end(
          head("307 Temporary Redirect", { location: location(host), "content-length": 0, connection: "close" }),
        );
      });
      await refused(server.host, "blob", why);
    });
  }
});

test("addresses in descriptors are never asked", async () => {
  await using trap = await serve((_request, response) => send(response, 200, blob));
  const image = makeImage([[{ path: "a" }]]);
  const urls = [`http://${trap.host}/layer`];
  for (const mediaType of [mediaTypes.ociLayerGzip, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"]) {
    const [layer = Buffer.alloc(0)] = image.layers;
    const config = { ...descriptor(image.config, mediaTypes.ociConfig), urls };
    const document = json({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config,
      layers: [{ ...descriptor(layer, mediaType), urls }],
    });
    await using registry = await serve((request, response) => {
      if (request.url?.includes("/manifests/") === true) {
        return send(response, 200, document, { "content-type": mediaTypes.ociManifest });
      }
      const found = image.blobs.get(request.url?.split("/").at(-1) ?? "");
      return found === undefined ? send(response, 404, "") : send(response, 200, found);
    });
    using repository = openRepository({ registry: registry.host, repository: "a" }, { signal: never, limits });
    const resolved = resolveImage(repository, "v1", { shown: "x", signal: never });
    if (mediaType.includes("foreign"))
      await assert.rejects(resolved, { code: "image.invalid", message: /never followed/ });
    else {
      const [first] = (await resolved).manifest.layers;
      assert.ok(first !== undefined);
      (await repository.open(first, { signal: never })).destroy();
    }
  }
  assert.deepEqual(trap.log, []);
});
