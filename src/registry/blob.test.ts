// Blobs from servers that cut, stall, drip and lie: what arrives is what was asked for, or an error that says why not.
import assert from "node:assert/strict";
import type { RequestListener, ServerResponse } from "node:http";
import { test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { digestOf } from "./digest.ts";
import { openRepository } from "./repository.ts";
import type { RegistryLimits } from "./limits.ts";
import { never, quickLimits, sampleBytes, send, serve } from "./testdata/servers.ts";

const blob = sampleBytes(700_000);
const descriptor = { mediaType: "application/octet-stream", digest: digestOf(blob), sizeBytes: blob.length };

/** Reads the blob from a server that behaves like `handler`. */
async function fetchBlob(
  handler: RequestListener,
  options: { offset?: number; sizeBytes?: number; limits?: Partial<RegistryLimits> } = {},
): Promise<{ bytes: Buffer; ranges: (string | undefined)[] }> {
  await using server = await serve(handler);
  using repository = openRepository(
    { registry: server.host, repository: "some/app" },
    { signal: never, limits: { ...quickLimits, ...options.limits } },
  );
  const stream = await repository.open(
    { ...descriptor, sizeBytes: options.sizeBytes ?? blob.length },
    { ...(options.offset === undefined ? {} : { offset: options.offset }), signal: never },
  );
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  for (const { path } of server.log) assert.equal(path, `/v2/some/app/blobs/${descriptor.digest}`);
  return { bytes: Buffer.concat(chunks), ranges: server.log.map(({ range }) => range) };
}

const startOf = (range: string | undefined): number => Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);

function sendPart(response: ServerResponse, start: number, body = blob.subarray(start)): void {
  send(response, 206, body, { "content-range": `bytes ${start}-${blob.length - 1}/${blob.length}` });
}

async function failsWith(code: string, message: RegExp, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof BangerError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}

/** Sends a head that promises all from `start`, and then only `count` bytes before the connection is cut. */
function cutAfter(response: ServerResponse, start: number, count: number): void {
  const status = start === 0 ? 200 : 206;
  response.writeHead(status, {
    "content-length": blob.length - start,
    ...(status === 206 ? { "content-range": `bytes ${start}-${blob.length - 1}/${blob.length}` } : {}),
  });
  response.write(blob.subarray(start, start + count), () => response.destroy());
}

test("a whole blob, and one from an offset on", async () => {
  const whole = await fetchBlob((_request, response) => send(response, 200, blob));
  assert.ok(whole.bytes.equals(blob));
  assert.deepEqual(whole.ranges, [undefined]);
  const rest = await fetchBlob((request, response) => sendPart(response, startOf(request.headers.range)), {
    offset: 500_000,
  });
  assert.ok(rest.bytes.equals(blob.subarray(500_000)));
  assert.deepEqual(rest.ranges, ["bytes=500000-"]);
  const nothing = await fetchBlob((_request, response) => send(response, 500, ""), { offset: blob.length });
  assert.equal(nothing.bytes.length, 0);
  assert.deepEqual(nothing.ranges, []);
});

test("cut connections are taken up where they ended", async () => {
  const seen = await fetchBlob((request, response) => {
    const start = startOf(request.headers.range);
    if (start < 600_000) cutAfter(response, start, 290_000);
    else sendPart(response, start);
  });
  assert.ok(seen.bytes.equals(blob));
  assert.equal(seen.ranges[0], undefined);
  assert.ok(seen.ranges.length >= 3, seen.ranges.join());
});

test("a body that ends early without a length is taken up too", async () => {
  const seen = await fetchBlob((request, response) => {
    const start = startOf(request.headers.range);
    if (start > 0) return sendPart(response, start);
    response.write(blob.subarray(0, 1000));
    response.end();
  });
  assert.ok(seen.bytes.equals(blob));
  assert.deepEqual(seen.ranges, [undefined, "bytes=1000-"]);
});

test("a server without ranges sends all again, and what is known is skipped", async () => {
  let requests = 0;
  const seen = await fetchBlob((_request, response) => {
    if (++requests === 1) cutAfter(response, 0, 300_000);
    else send(response, 200, blob);
  });
  assert.ok(seen.bytes.equals(blob));
  assert.equal(requests, 2);
});

test("after 416 the whole blob is asked for", async () => {
  const seen = await fetchBlob(
    (request, response) => {
      if (request.headers.range === undefined) send(response, 200, blob);
      else send(response, 416, "", { "content-range": `bytes */${blob.length}` });
    },
    { offset: 1000 },
  );
  assert.ok(seen.bytes.equals(blob.subarray(1000)));
  assert.deepEqual(seen.ranges, ["bytes=1000-", undefined]);
});

test("lies about ranges and sizes are errors", async () => {
  const total = blob.length;
  const cases: Record<string, RegExp> = {
    [`bytes 0-${total - 1}/${total}`]: /from byte 1000 of 700000 was asked for, "bytes 0-699999\/700000" came/,
    [`bytes 999-${total - 1}/${total}`]: /was asked for/,
    [`bytes 1000-${total}/${total}`]: /was asked for/,
    [`bytes 1000-${total - 1}/${total + 1}`]: /was asked for/,
    "bytes 1000-999/*": /was asked for/,
    "bytes */700000": /was asked for/,
    nonsense: /"nonsense" came/,
  };
  for (const [range, why] of Object.entries(cases)) {
    const lie: RequestListener = (_request, response) =>
      send(response, 206, blob.subarray(1000), { "content-range": range });
    await failsWith("registry.failed", why, fetchBlob(lie, { offset: 1000 }));
  }
  await failsWith(
    "registry.failed",
    /a part of it came although all was asked for/,
    fetchBlob((_request, response) => sendPart(response, 0)),
  );
  await failsWith(
    "registry.failed",
    /it has 700000 bytes instead of 699999/,
    fetchBlob((_request, response) => send(response, 200, blob), { sizeBytes: total - 1 }),
  );
  await failsWith(
    "registry.failed",
    /gives more than the 699999 bytes/,
    fetchBlob(
      (_request, response) => {
        response.write(blob);
        response.end();
      },
      { sizeBytes: total - 1 },
    ),
  );
  await failsWith(
    "registry.failed",
    /it is encoded with "gzip"/,
    fetchBlob((_request, response) => send(response, 200, blob, { "content-encoding": "gzip" })),
  );
  await failsWith(
    "registry.failed",
    /HTTP status 416/,
    fetchBlob((_request, response) => send(response, 416, ""), { offset: 1000 }),
  );
});

test("a blob that never gets on ends after some attempts", async () => {
  let requests = 0;
  await failsWith(
    "registry.unreachable",
    /connection was cut|ended after/,
    fetchBlob((request, response) => {
      requests++;
      cutAfter(response, startOf(request.headers.range), 10);
    }),
  );
  assert.equal(requests, 4);
});

test("silence and drips are cut, whatever was promised", async () => {
  const limits = { idleTimeoutMs: 100, attempts: 2 };
  const silent: RequestListener = (_request, response) => {
    response.writeHead(200, { "content-length": blob.length });
    response.write(blob.subarray(0, 5));
  };
  await failsWith("registry.unreachable", /nothing came for 0.1 s/, fetchBlob(silent, { limits }));

  const drip: RequestListener = (_request, response) => {
    response.writeHead(200, { "content-length": blob.length });
    const timer = setInterval(() => response.write("x"), 5);
    response.once("close", () => clearInterval(timer));
  };
  await failsWith(
    "registry.unreachable",
    /only \d+ bytes came in/,
    fetchBlob(drip, { limits: { rateWindowMs: 100, attempts: 2 } }),
  );
  await failsWith("timeout", /did not come within 0.1 s/, fetchBlob(drip, { limits: { blobTimeoutMs: 100 } }));
});

test("a server that takes the request and says nothing is given up", async () => {
  const limits = { answerTimeoutMs: 100, attempts: 2 };
  await failsWith(
    "registry.unreachable",
    /no answer within 0.1 s/,
    fetchBlob(() => {}, { limits }),
  );
});

test("a blob that is not there, and a digest of an unknown kind", async () => {
  await failsWith(
    "image.not-found",
    /does not have blob sha256:\w{64} of "127.0.0.1:\d+\/some\/app": BLOB_UNKNOWN: gone/,
    fetchBlob((_request, response) =>
      send(response, 404, JSON.stringify({ errors: [{ code: "BLOB_UNKNOWN", message: "gone" }] })),
    ),
  );
  using repository = openRepository({ registry: "localhost:1", repository: "x" }, { signal: never });
  for (const digest of ["md5:00", "sha256:../../x", "sha256:"]) {
    await failsWith("image.invalid", /unknown kind/, repository.open({ ...descriptor, digest }, { signal: never }));
  }
  await failsWith(
    "image.invalid",
    /cannot have -1 bytes/,
    repository.open({ ...descriptor, sizeBytes: -1 }, { signal: never }),
  );
});

test("cancelling ends the stream and the connection, also while nobody reads and nothing comes", async () => {
  const closed = Promise.withResolvers<void>();
  await using server = await serve((_request, response) => {
    response.writeHead(200, { "content-length": blob.length });
    response.write(blob.subarray(0, 5));
    response.once("close", closed.resolve);
  });
  using repository = openRepository({ registry: server.host, repository: "some/app" }, { signal: never });
  const abort = new AbortController();
  const stream = await repository.open(descriptor, { signal: abort.signal });
  const reason = new BangerError("cancelled", "enough");
  const ended = assert.rejects(async () => {
    for await (const _chunk of stream) abort.abort(reason);
  }, reason);
  await ended;
  await closed.promise;
});

test("destroying the stream closes the connection", async () => {
  const closed = Promise.withResolvers<void>();
  await using server = await serve((_request, response) => {
    response.writeHead(200, { "content-length": blob.length });
    response.write(blob.subarray(0, 5));
    response.once("close", closed.resolve);
  });
  using repository = openRepository({ registry: server.host, repository: "some/app" }, { signal: never });
  const stream = await repository.open(descriptor, { signal: never });
  stream.destroy();
  await closed.promise;
});

test("a stream goes on when its repository is disposed, also over a cut", async () => {
  const more = Promise.withResolvers<void>();
  await using server = await serve((request, response) => {
    const start = startOf(request.headers.range);
    if (start > 0) return sendPart(response, start);
    response.writeHead(200, { "content-length": blob.length });
    response.write(blob.subarray(0, 1000));
    return void more.promise.then(() => response.destroy());
  });
  const repository = openRepository(
    { registry: server.host, repository: "some/app" },
    { signal: never, limits: quickLimits },
  );
  const stream = await repository.open(descriptor, { signal: never });
  repository[Symbol.dispose]();
  more.resolve();
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  assert.ok(Buffer.concat(chunks).equals(blob));
});

test("a server that was started again in between is found again", async () => {
  const closing = Promise.withResolvers<void>();
  const first = await serve((_request, response) => {
    cutAfter(response, 0, 300_000);
    response.once("close", closing.resolve);
  });
  using repository = openRepository(
    { registry: first.host, repository: "some/app" },
    { signal: never, limits: { ...quickLimits, attempts: 50, firstPauseMs: 20, longestPauseMs: 100 } },
  );
  const stream = await repository.open(descriptor, { signal: never });
  await closing.promise;
  await first[Symbol.asyncDispose]();
  const reading = (async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks);
  })();
  await using _second = await serve(
    (request, response) => sendPart(response, startOf(request.headers.range)),
    undefined,
    Number(first.host.split(":")[1]),
  );
  assert.ok((await reading).equals(blob));
});
