// The servers of the "internet" of world.ts, as a program: names on UDP port 53; on port 80 of every address a page that says which
// host was asked for and at which address, and below /files/ the files of a directory; on port 443 one that says the digest of the
// authorization that it got; on both the hosts of package-hosts.ts. Ends with its stdin.
// usage: node fake-servers.ts '{"name": "address"}' <key file> <certificate file> <directory of packages> <directory of files>
import { createSocket } from "node:dgram";
import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { join } from "node:path";
import { isPackageHost, packageHosts } from "./package-hosts.ts";

const addresses = JSON.parse(process.argv[2] ?? "{}") as Record<string, string>;

/** The answer to a question for one name: its address for type A, no data for other types, no such name for others. */
function answer(query: Buffer): Buffer {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = query.readUInt16BE(at + 1);
  const question = query.subarray(12, at + 5);
  const address = addresses[labels.join(".").toLowerCase()];
  const found = address !== undefined && type === 1;
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  // A reply, recursion available; NXDOMAIN when there is no such name.
  header.writeUInt16BE(0x8180 | (address === undefined ? 3 : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(found ? 1 : 0, 6);
  const record = Buffer.from([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...(address ?? "").split(".").map(Number)]);
  return Buffer.concat([header, question, ...(found ? [record] : [])]);
}

// Others may answer at an address of their own.
const names = createSocket({ type: "udp4", reuseAddr: true });
names.on("message", (query, { address, port }) => names.send(answer(query), port, address));
const [keyFile = "", certificateFile = "", packagesDirectory = "", filesDirectory = ""] = process.argv.slice(3);
const packages = packageHosts(packagesDirectory);
const web = createServer((request, response) => {
  if (isPackageHost(packagesDirectory, request.headers.host)) return packages(request, response);
  const [, name] = /^\/files\/([\w./-]+)$/.exec(request.url ?? "") ?? [];
  if (name !== undefined && filesDirectory !== "") {
    return createReadStream(join(filesDirectory, name))
      .on("error", () => response.writeHead(404).end())
      .pipe(response);
  }
  return response.end(
    `${request.headers.host ?? "no host"} at ${request.socket.localAddress?.replace("::ffff:", "")}\n`,
  );
});
const secure = createSecureServer(
  { key: readFileSync(keyFile), cert: readFileSync(certificateFile) },
  (request, response) => {
    if (isPackageHost(packagesDirectory, request.headers.host)) return packages(request, response);
    const authorization = createHash("sha256").update(request.headers.authorization ?? "");
    response.end(`authorization ${authorization.digest("hex")}\n`);
  },
);
names.bind(53, "0.0.0.0", () =>
  web.listen(80, "0.0.0.0", () => secure.listen(443, "0.0.0.0", () => process.stdout.write("ready\n"))),
);
process.stdin.resume().on("end", () => {
  names.close();
  web.close();
  web.closeAllConnections();
  secure.close();
  secure.closeAllConnections();
});
