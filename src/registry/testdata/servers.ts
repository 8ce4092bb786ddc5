// Servers on loopback that behave as a test says, and what the tests of this folder share.
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { digestOf } from "../digest.ts";
import type { RegistryLimits } from "../limits.ts";

export interface TestServer extends AsyncDisposable {
  /** How many connections were made so far. */
  readonly connections: number;
  /** "127.0.0.1:<port>" */
  host: string;
  /** Method, path and `Authorization` of each request that was no probe of /v2/. */
  log: { method: string; path: string; authorization: string | undefined; range: string | undefined }[];
}

/** Starts a server on a free port, or on this one; disposing ends it with its connections. */
export async function serve(
  handler: RequestListener,
  tls?: { key: string; cert: string },
  port = 0,
): Promise<TestServer> {
  const log: TestServer["log"] = [];
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    const { method = "", url: path = "", headers } = request;
    log.push({ method, path, authorization: headers.authorization, range: headers.range });
    handler(request, response);
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  const listening = Promise.withResolvers<void>();
  server.listen(port, "127.0.0.1", listening.resolve);
  await listening.promise;
  let connections = 0;
  server.on("connection", () => connections++);
  return {
    get connections() {
      return connections;
    },
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    log,
    async [Symbol.asyncDispose]() {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

/** Waits so short that a test of them is quick, and so long that a busy machine does not reach them by itself. */
export const quickLimits: Partial<RegistryLimits> = { firstPauseMs: 1, longestPauseMs: 2, attempts: 4 };

/** Ends only when the test does. */
export const never = new AbortController().signal;

/** Bytes that look random and are the same each time. */
export function sampleBytes(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  const next = randomNumbers(seed);
  for (let at = 0; at < length; at++) bytes[at] = next(256);
  return bytes;
}

/** A generator of numbers below a bound, the same for the same seed. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => (state = (state * 48_271) % 2_147_483_647) % below;
}

export const manifestType = "application/vnd.oci.image.manifest.v1+json";

/** A manifest of one layer, with its digest. */
export function sampleManifest(layer: Buffer): { bytes: Buffer; digest: string } {
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf(Buffer.from("{}")), size: 2 },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digestOf(layer), size: layer.length }],
    }),
  );
  return { bytes, digest: digestOf(bytes) };
}

/** Sends a whole body with its length. */
export function send(
  response: ServerResponse,
  status: number,
  body: string | Buffer,
  headers: Record<string, string> = {},
) {
  response.writeHead(status, { "content-length": Buffer.byteLength(body), ...headers });
  response.end(body);
}
