// What the zone "vm" answers, over real sockets, to a real client, and to garbage.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { silentLogger } from "../../lib/log.ts";
import { Dns } from "./dns.ts";
import { openDnsServer } from "./server.ts";
import { answer } from "./zone.ts";

const names = new Map([["demo", "127.77.1.2"]]);
const lookup = (name: string) => names.get(name);

/** Reads header and counts of a reply. */
const head = (reply: Buffer) => ({
  code: (reply[3] ?? 0) & 15,
  authoritative: ((reply[2] ?? 0) & 4) !== 0,
  recursion: ((reply[3] ?? 0) & 0x80) !== 0,
  counts: [4, 6, 8, 10].map((at) => reply.readUInt16BE(at)),
});

/** A query as it goes over the wire; `opt` is the version of EDNS. */
function query(name: string, { kind = 1, kindClass = 1, flags = 0x0100, opt = -1 } = {}): Buffer {
  const header = Buffer.alloc(12);
  [0xbeef, flags, 1, 0, 0, opt < 0 ? 0 : 1].forEach((value, at) => header.writeUInt16BE(value, 2 * at));
  const labels = name.split(".").filter((label) => label !== "");
  const tail = Buffer.from([0, 0, kind, 0, kindClass]);
  return Buffer.concat([
    header,
    ...labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]),
    tail,
    opt < 0 ? Buffer.alloc(0) : Buffer.from([0, 0, 41, 16, 0, 0, opt, 0, 0, 0, 0]),
  ]);
}

describe("answers", () => {
  const ask = (...parts: Parameters<typeof query>) => {
    const reply = answer(query(...parts), lookup);
    assert.ok(reply !== undefined && reply.readUInt16BE(0) === 0xbeef);
    return { ...head(reply), reply };
  };

  test("an address for a VM's name, whatever the case of its letters, which come back as they were sent", () => {
    const { reply, ...rest } = ask("DeMo.VM");
    assert.deepEqual(rest, { code: 0, authoritative: true, recursion: false, counts: [1, 1, 0, 0] });
    assert.equal(reply.toString("hex").split(Buffer.from("\x04DeMo\x02VM\0").toString("hex")).length, 3);
    assert.deepEqual([...reply.subarray(-4)], [127, 77, 1, 2]);
  });

  test("nothing of another type, no such name, no other zone, and never for others", () => {
    const table: [Parameters<typeof query>, code: number, counts: number[]][] = [
      [["demo.vm", { kind: 28 }], 0, [1, 0, 1, 0]],
      [["demo.vm", { kind: 255 }], 0, [1, 1, 0, 0]],
      [["none.vm"], 3, [1, 0, 1, 0]],
      [["www.demo.vm"], 3, [1, 0, 1, 0]],
      [["vm"], 0, [1, 0, 1, 0]],
      [["vm", { kind: 6 }], 0, [1, 1, 0, 0]],
      [["vm", { kind: 2 }], 0, [1, 1, 0, 0]],
      [["example.com"], 5, [1, 0, 0, 0]],
      [["demo.vm.example.com"], 5, [1, 0, 0, 0]],
      [[""], 5, [1, 0, 0, 0]],
      [["demo.vm", { kindClass: 3 }], 5, [1, 0, 0, 0]],
      [["demo.vm", { flags: 0x2800 }], 4, [1, 0, 0, 0]],
      [["demo.vm", { opt: 0 }], 0, [1, 1, 0, 1]],
      [["demo.vm", { opt: 1 }], 0, [1, 0, 0, 1]],
    ];
    for (const [parts, code, counts] of table) {
      const { reply, ...rest } = ask(...parts);
      assert.deepEqual([rest.code, rest.counts, rest.recursion], [code, counts, false], JSON.stringify(parts));
      // BADVERS does not fit into the header: its upper half stands in the OPT record.
      if (parts[1]?.opt === 1) assert.equal(reply.at(-6), 1);
    }
  });

  test("a reply, and what is too short for a query, get nothing; two questions are a format error", () => {
    assert.equal(answer(query("demo.vm", { flags: 0x8180 }), lookup), undefined);
    assert.equal(answer(Buffer.alloc(11), lookup), undefined);
    const two = query("demo.vm");
    two.writeUInt16BE(2, 4);
    assert.deepEqual(head(answer(two, lookup) ?? Buffer.alloc(12)).code, 1);
  });
});

describe("the server", { concurrency: false }, () => {
  let server: AsyncDisposable;
  let port: number;
  before(async () => {
    for (;;) {
      const probe = createSocket("udp4").bind(0, "127.0.0.1");
      await once(probe, "listening");
      ({ port } = probe.address());
      probe.close();
      try {
        server = await openDnsServer({ port, lookup, log: silentLogger });
        return;
      } catch {
        // Somebody else was quicker.
      }
    }
  });
  after(() => server[Symbol.asyncDispose]());

  test("a real client resolves", async () => {
    const resolver = new Resolver({ timeout: 20_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${port}`]);
    assert.deepEqual(await resolver.resolve4("demo.vm", { ttl: true }), [{ address: "127.77.1.2", ttl: 5 }]);
    await assert.rejects(resolver.resolve6("demo.vm"), { code: "ENODATA" });
    await assert.rejects(resolver.resolve4("none.vm"), { code: "ENOTFOUND" });
    await assert.rejects(resolver.resolve4("example.com"), { code: "EREFUSED" });
  });

  test("TCP: several queries on one connection, in pieces", async () => {
    const socket = connect(port, "127.0.0.1");
    const framed = Buffer.concat(
      ["demo.vm", "none.vm"].map((name) => {
        const message = query(name);
        return Buffer.concat([Buffer.from([0, message.length]), message]);
      }),
    );
    for (const byte of framed) socket.write(Buffer.from([byte]));
    let got = Buffer.alloc(0);
    const codes: number[] = [];
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      got = Buffer.concat([got, chunk]);
      while (got.length >= 2 && got.length >= 2 + got.readUInt16BE(0)) {
        codes.push(head(got.subarray(2)).code);
        got = got.subarray(2 + got.readUInt16BE(0));
      }
      if (codes.length === 2) break;
    }
    assert.deepEqual(codes, [0, 3]);
  });

  test("a port that is taken is said, and costs nothing but the names", async () => {
    await assert.rejects(openDnsServer({ port, lookup, log: silentLogger }), {
      code: "port.in-use",
      message: new RegExp(`no DNS on port ${port} of 127.0.0.1`),
    });
    for (const [wanted, problem] of [
      [port, /no DNS on port/],
      [0, /switched off/],
    ] as const) {
      await using dns = new Dns({ port: wanted, lookup, log: silentLogger });
      await dns.begin();
      const status = await dns.status();
      assert.equal(status.listening, false);
      assert.match(status.problem, problem);
    }
  });

  test("20,000 packets of garbage, and it answers", async (context) => {
    const seed = Number(process.env["BANGER_FUZZ_SEED"] ?? Date.now() % 2 ** 31);
    context.diagnostic(`BANGER_FUZZ_SEED=${seed}`);
    const random = generator(seed);
    const client = createSocket("udp4").bind(0, "127.0.0.1");
    await once(client, "listening");
    const replied = (id: number) =>
      new Promise<Buffer>((resolve) => {
        const look = (message: Buffer) => {
          if (message.readUInt16BE(0) !== id) return;
          client.off("message", look);
          resolve(message);
        };
        client.on("message", look);
      });
    for (let sent = 0; sent < 20_000; sent++) {
      const packet = garbage(random);
      const reply = answer(packet, lookup);
      assert.ok(reply === undefined || reply.length <= packet.length + 128, `seed ${seed}: packet ${sent}`);
      client.send(packet, port, "127.0.0.1");
      if (sent % 100 === 99) {
        // Kept in step, so that the kernel drops none of them.
        const probe = query("demo.vm");
        const id = replied(0xbeef);
        client.send(probe, port, "127.0.0.1");
        assert.equal(head(await id).code, 0);
      }
    }
    client.close();
  });
});

/** Numbers from 0 to below `end`, the same for the same seed. */
function generator(seed: number): (end: number) => number {
  let state = seed | 0;
  return (end) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) % end;
  };
}

/** Noise, or a query with some of its bytes changed, cut or repeated. Its id is never the one that the test asks with. */
function garbage(random: (end: number) => number): Buffer {
  const bases = [query("demo.vm"), query("none.vm", { kind: 28 }), query("a.b.c.vm", { opt: 0 }), query("example.com")];
  let packet = Buffer.from(bases[random(bases.length)] ?? "");
  if (random(4) === 0) packet = Buffer.from(Array.from({ length: random(600) }, () => random(256)));
  for (let change = random(8); change > 0 && packet.length > 0; change--) packet[random(packet.length)] = random(256);
  if (random(3) === 0) packet = packet.subarray(0, random(packet.length + 1));
  if (random(5) === 0) packet = Buffer.concat([packet, packet]);
  if (packet.length > 1) packet.writeUInt16BE(0x1234, 0);
  return packet;
}
