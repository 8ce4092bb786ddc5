// A web server that gives and takes bytes, as a program: GET /<count> answers with so many, PUT / says how many came, PUT /digest what
// their SHA-256 is, and GET /digest/<count> what that of so many is. Ends with its stdin. usage: node byte-server.ts <port>
import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** Of an odd size, so that bytes that change places in any usual step are other bytes. */
const block = randomBytes(1_000_003);

function* bytes(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= block.length) yield block.subarray(0, Math.min(left, block.length));
}

async function take(request: IncomingMessage): Promise<string> {
  const hash = request.url === "/digest" ? createHash("sha256") : undefined;
  let count = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    count += chunk.length;
    hash?.update(chunk);
  }
  return hash?.digest("hex") ?? String(count);
}

function digest(count: number): string {
  const hash = createHash("sha256");
  for (const piece of bytes(count)) hash.update(piece);
  return hash.digest("hex");
}

const server = createServer((request, response) => {
  // A client that goes before its end has its own error to show.
  const gone = () => response.destroy();
  const [, asDigest, count] = /^\/(digest\/)?(\d+)$/.exec(request.url ?? "") ?? [];
  if (request.method === "PUT") take(request).then((said) => response.end(said), gone);
  else if (asDigest !== undefined) response.end(digest(Number(count)));
  else {
    response.setHeader("content-length", count ?? "0");
    pipeline(Readable.from(bytes(Number(count))), response).catch(gone);
  }
});
server.listen(Number(process.argv[2]), () => process.stdout.write("ready\n"));
process.stdin.resume().on("end", () => {
  server.close();
  server.closeAllConnections();
});
