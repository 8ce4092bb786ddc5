// Servers that answer at every address of a namespace, so that only a policy can be why one is not reached, as a program. It writes down
// whatever gets to it: the other half of "denied" is that nothing came.
// Ends with its stdin. usage: node fake-anywhere.ts '{"who": …, "seen": …, "names": …, "zone": …, "echo": …}' (ServerOptions)
import { createSocket } from "node:dgram";
import { appendFileSync } from "node:fs";
import { createServer as createWebServer } from "node:http";
import { createServer, type Socket } from "node:net";
import { once } from "node:events";

export interface ServerOptions {
  /** What its TCP servers say at once. */
  who: string;
  /** File that gets a line for each connection, datagram and question: "tcp address:port", "udp payload", "dns name". */
  seen: string;
  /** Addresses and ports of name servers. */
  names: readonly (readonly [string, number])[];
  /** What the name servers say: addresses, or the alias that a name is. A list of lists: the first answer, the next one, ever the last. */
  zone: Readonly<Record<string, readonly (string | readonly string[])[]>>;
  /** Addresses at which datagrams come back from ports 7 and 443. */
  echo: readonly string[];
}

const types = { A: 1, CNAME: 5, TXT: 16, AAAA: 28 };
const webPort = 8080;

/** A name in the form of the wire. */
function labelled(name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}

/** Sixteen bytes of an IPv6 address without an IPv4 one at its end. */
function bytesOf6(address: string): number[] {
  const [head = "", tail] = address.split("::");
  const groups = (text: string | undefined) => (text === undefined || text === "" ? [] : text.split(":"));
  const [before, behind] = [groups(head), groups(tail)];
  const zeros = Array.from({ length: 8 - before.length - behind.length }, () => "0");
  return [...before, ...zeros, ...behind].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}

function record(owner: Buffer, data: string): { type: number; bytes: Buffer } {
  const isName = /[g-z]/.test(data);
  const type = isName ? types.CNAME : data.includes(":") ? types.AAAA : types.A;
  const body = isName
    ? labelled(data)
    : Buffer.from(type === types.AAAA ? bytesOf6(data) : data.split(".").map(Number));
  const head = Buffer.alloc(10);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(1, 2);
  // Forgotten at once, as whoever rebinds names wants it.
  head.writeUInt32BE(0, 4);
  head.writeUInt16BE(body.length, 8);
  return { type, bytes: Buffer.concat([owner, head, body]) };
}

/** Says which data a name has now. */
class Zone {
  readonly #asked = new Map<string, number>();
  readonly #zone: ServerOptions["zone"];

  constructor(zone: ServerOptions["zone"]) {
    this.#zone = zone;
  }

  data(name: string): readonly string[] | undefined {
    const all = this.#zone[name];
    if (all === undefined) return undefined;
    const turns = all.filter((one) => typeof one !== "string");
    if (turns.length === 0) return all.filter((one) => typeof one === "string");
    const turn = this.#asked.get(name) ?? 0;
    this.#asked.set(name, turn + 1);
    return turns[Math.min(turn, turns.length - 1)];
  }
}

function serveNames([address, port]: readonly [string, number], zone: Zone, saw: (line: string) => void) {
  const socket = createSocket({ type: "udp4", reuseAddr: true });
  socket.on("message", (query, from) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString("latin1", at + 1, at + 1 + length).toLowerCase());
      at += 1 + length;
    }
    const name = labels.join(".");
    saw(`dns ${name}`);
    const type = query.readUInt16BE(at + 1);
    const data = zone.data(name);
    const alias = data?.find((one) => /[g-z]/.test(one));
    const answers = (data ?? []).map((one) => record(labelled(name), one));
    if (alias !== undefined) answers.push(...(zone.data(alias) ?? []).map((one) => record(labelled(alias), one)));
    const fitting = answers.filter((one) => one.type === type || one.type === types.CNAME);
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | (data === undefined ? 3 : 0), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(fitting.length, 6);
    const question = query.subarray(12, at + 5);
    socket.send(Buffer.concat([header, question, ...fitting.map(({ bytes }) => bytes)]), from.port, from.address);
  });
  socket.bind(port, address);
  return socket;
}

function serveEcho(address: string, port: number, saw: (line: string) => void) {
  const socket = createSocket({ type: address.includes(":") ? "udp6" : "udp4", reuseAddr: true });
  socket.on("message", (payload, from) => {
    saw(`udp ${payload.toString("latin1")}`);
    socket.send(payload, from.port, from.address);
  });
  socket.bind(port, address);
  return socket;
}

/** Says who it is, before the client has said anything, and waits for its end. */
function serveTcp(port: number, greeting: string, saw: (line: string) => void) {
  return createServer({ allowHalfOpen: true }, (socket: Socket) => {
    saw(`tcp ${local(socket)}`);
    // Who does not hang up does not keep the program here.
    socket.unref();
    socket.on("error", () => {}).end(`${greeting}\n`);
  }).listen(port, "::");
}

/** Sends elsewhere whoever asks for /to/<url>, and says to all others which host they asked for. */
function serveWeb(saw: (line: string) => void) {
  return createWebServer((request, response) => {
    saw(`tcp ${local(request.socket)}`);
    const to = /^\/to\/(.*)$/.exec(request.url ?? "")?.[1];
    if (to !== undefined) response.writeHead(302, { location: to }).end();
    else response.end(`page of ${request.headers.host ?? ""}\n`);
  }).listen(webPort, "::");
}

function local(socket: Socket): string {
  const address = (socket.localAddress ?? "").replace("::ffff:", "");
  return `${address.includes(":") ? `[${address}]` : address}:${socket.localPort ?? 0}`;
}

const options = JSON.parse(process.argv[2] ?? "") as ServerOptions;
const saw = (line: string) => appendFileSync(options.seen, `${line}\n`);
const zone = new Zone(options.zone);
const sockets = [
  ...options.names.map((at) => serveNames(at, zone, saw)),
  ...options.echo.flatMap((address) => [serveEcho(address, 7, saw), serveEcho(address, 443, saw)]),
];
const servers = [...[22, 53, 853, 5432].map((port) => serveTcp(port, options.who, saw)), serveWeb(saw)];
await Promise.all([...sockets, ...servers].map((one) => once(one, "listening")));
process.stdout.write("ready\n");
process.stdin.resume().on("end", () => {
  for (const one of [...sockets, ...servers]) one.close();
});
