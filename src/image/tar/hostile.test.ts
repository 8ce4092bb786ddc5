// Tar headers, pax records and sparse maps that no honest program writes: each ends in an error that names the entry and the reason.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { archive, encodeEntry } from "../testdata/archive.ts";
import type { TestEntry } from "../testdata/archive.ts";
import { ByteReader } from "./byte-reader.ts";
import { TarError } from "./header.ts";
import { readTar } from "./reader.ts";

/** Entries as "path:content bytes". */
async function read(tar: Buffer): Promise<string[]> {
  const found: string[] = [];
  const reader = new ByteReader(Readable.from([tar]));
  for await (const entry of readTar(reader)) {
    let bytes = 0;
    await entry.read({
      write: (piece) => (bytes += piece.length),
      skip: (length) => (bytes += length),
    });
    found.push(`${entry.path}:${bytes}`);
  }
  await reader.finish();
  return found;
}

/** An entry with bytes of its header replaced, and the checksum for it. */
function patched(entry: TestEntry, changes: Record<number, Buffer | string>): Buffer {
  const bytes = encodeEntry(entry);
  for (const [at, change] of Object.entries(changes)) Buffer.from(change).copy(bytes, Number(at));
  bytes.fill(" ", 148, 156);
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0`, 148, "latin1");
  return bytes;
}

const end = Buffer.alloc(1024);
const joined = (...parts: Buffer[]) => Buffer.concat([...parts, end]);
const first = encodeEntry({ path: "first", data: "1" });
const binary = (length: number, fill: number) => Buffer.alloc(length, fill).fill(0x80 | fill, 0, 1);
const pax = (data: string | Buffer): Buffer =>
  joined(first, encodeEntry({ path: "records", type: "x", data }), encodeEntry({ path: "x" }));
const sparse = (records: Record<string, string>, data = ""): Buffer => archive([{ path: "s", data, pax: records }]);
const form1 = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "100" };
/** A header of the old GNU kind: regions, whether more follow, size with holes. */
function oldSparse(regions: readonly (number | Buffer)[], more: boolean, realBytes: number, data = ""): Buffer {
  const changes: Record<number, Buffer | string> = { 257: "ustar  \0", 345: Buffer.alloc(167) };
  regions.forEach((value, index) => {
    changes[386 + index * 12] = Buffer.isBuffer(value) ? value : `${value.toString(8).padStart(11, "0")} `;
  });
  changes[482] = Buffer.from([more ? 1 : 0]);
  changes[483] = `${realBytes.toString(8).padStart(11, "0")} `;
  return patched({ path: "s", type: "S", data }, changes);
}

/** What it holds, the entry that the error names (undefined: none), why. */
const refused: Record<string, Record<string, readonly [Buffer, string | undefined, RegExp]>> = {
  headers: {
    "size of 2^88": [
      joined(first, patched({ path: "x" }, { 124: binary(12, 0x7f) })),
      undefined,
      /size is out of range/,
    ],
    "negative size": [
      joined(first, patched({ path: "x" }, { 124: Buffer.alloc(12, 0xff) })),
      undefined,
      /negative size/,
    ],
    "size of letters": [joined(first, patched({ path: "x" }, { 124: "12x4567\0" })), undefined, /size is no number/],
    "size in decimal digits": [joined(first, patched({ path: "x" }, { 124: "00000000009\0" })), undefined, /no number/],
    "size of more than there is": [
      patched({ path: "x" }, { 124: "77777777777\0" }),
      undefined,
      /cut short at byte 512/,
    ],
    "owner of letters": [
      joined(patched({ path: "x" }, { 108: "root\0\0\0\0" })),
      undefined,
      /no tar archive|no number/,
    ],
    "device of letters": [joined(first, patched({ path: "x" }, { 329: "-1\0" })), undefined, /device is no number/],
    "wrong checksum": [joined(first, encodeEntry({ path: "x" }).fill("!", 0, 1)), undefined, /wrong checksum/],
    "no checksum": [joined(first, encodeEntry({ path: "x" }).fill(0, 148, 156)), undefined, /wrong checksum/],
    "type that nobody knows": [joined(first, patched({ path: "x" }, { 156: "A" })), "x", /unknown type "A"/],
    "type that is a control character": [
      joined(first, patched({ path: "x" }, { 156: "\u001b" })),
      "x",
      /type "\\u001b"/,
    ],
    "continued file of another volume": [joined(first, patched({ path: "x" }, { 156: "M" })), "x", /unknown type "M"/],
    "header that is cut": [Buffer.concat([first, first.subarray(0, 100)]), undefined, /cut short/],
    "content that is cut": [
      encodeEntry({ path: "x", data: "y".repeat(2000) }).subarray(0, 1100),
      undefined,
      /cut short/,
    ],
    "no end": [first, undefined, /cut short/],
    "one block of zeros, then more": [joined(first, Buffer.alloc(512), first), undefined, /end mark/],
  },
  "long names": {
    "of more than 1 MiB": [
      joined(patched({ path: "L", type: "L", data: "" }, { 124: "00004000001\0" })),
      "L",
      /extended header is too long/,
    ],
    "of 8 GiB": [joined(patched({ path: "L", type: "L" }, { 124: "77777777777\0" })), "L", /too long/],
    cut: [encodeEntry({ path: "L", type: "L", data: "n".repeat(600) }).subarray(0, 1024), "L", /cut short/],
    "without an entry": [joined(encodeEntry({ path: "L", type: "L", data: "x" })), undefined, /after an extended/],
    "one after the other": [
      joined(...Array.from({ length: 65 }, () => encodeEntry({ path: "L", type: "L", data: "n" })), first),
      "L",
      /too many extended headers/,
    ],
  },
  "pax records": {
    "longer than the header": [pax("99 a=b\n"), "records", /pax record is malformed/],
    "with a length of many digits": [pax("00000000000006 a=b\n"), "records", /malformed/],
    "with a length of 0": [pax("0 a=b\n"), "records", /malformed/],
    "with a negative length": [pax("-6 a=b\n"), "records", /malformed/],
    "with a length of 2^53": [pax("9007199254740993 a=b\n"), "records", /malformed/],
    "without a key": [pax("5 =b\nx"), "records", /malformed/],
    "without an equals sign": [pax("6 a b\n"), "records", /malformed/],
    "whose equals sign is in the next": [pax("4 a\n6 b=c\n"), "records", /malformed/],
    "without an end of line": [pax("6 a=bc"), "records", /malformed/],
    "whose end is within the next": [pax("7 a=b\n6 c=d\n"), "records", /malformed/],
    "size of text": [sparse({ size: "ten" }), "s", /"size" is no whole number/],
    "size with an exponent": [sparse({ size: "1e3" }), "s", /no whole number/],
    "negative size": [sparse({ size: "-1" }), "s", /impossible size/],
    "size of 2^63": [sparse({ size: "9223372036854775808" }), "s", /impossible size/],
    "owner with a sign": [sparse({ uid: "+1" }), "s", /no whole number/],
    "owner of 400 digits": [sparse({ gid: "9".repeat(400) }), "s", /no whole number/],
  },
  "sparse maps": {
    "out of order": [sparse({ "GNU.sparse.map": "5,1,0,1", "GNU.sparse.size": "9" }, "ab"), "s", /out of order/],
    "regions that overlap": [
      sparse({ "GNU.sparse.map": "0,2,1,2", "GNU.sparse.size": "9" }, "abcd"),
      "s",
      /out of order/,
    ],
    "more data than there is": [sparse({ "GNU.sparse.map": "0,9", "GNU.sparse.size": "9" }, "ab"), "s", /more data/],
    "past the end": [sparse({ "GNU.sparse.map": "0,9", "GNU.sparse.size": "8" }, "a".repeat(9)), "s", /past its end/],
    "numbers that add up to more than 2^53": [
      sparse({ "GNU.sparse.map": "9007199254740991,9007199254740991", "GNU.sparse.size": "9007199254740991" }),
      "s",
      /past its end|more data|malformed/,
    ],
    "half a pair": [sparse({ "GNU.sparse.map": "0,1,2", "GNU.sparse.size": "9" }, "a"), "s", /malformed/],
    "no size": [sparse({ "GNU.sparse.map": "0,1" }, "a"), "s", /malformed/],
    "form of the future": [sparse({ "GNU.sparse.major": "1", "GNU.sparse.minor": "1" }), "s", /unknown form/],
    "map without numbers": [sparse(form1, "\n".repeat(512)), "s", /malformed/],
    "map that is promised and does not come": [sparse(form1, "5\n".padEnd(512, "0")), "s", /does not end|malformed/],
    "2^31 regions": [sparse(form1, "2147483648\n".padEnd(512, "\0")), "s", /more than 1000000 regions/],
    "old map without an end": [
      Buffer.concat([oldSparse([0, 0, 0, 0], true, 9), ...Array.from({ length: 3 }, () => Buffer.alloc(512, 1))]),
      "s",
      /no number|cut short|out of range/,
    ],
    "old map that goes on for ever": [
      Buffer.concat([oldSparse([0, 1], true, 1e9, ""), ...Array.from({ length: 50_000 }, endless)]),
      "s",
      /more than 1000000 regions|cut short|out of order/,
    ],
    "old map with a negative offset": [
      joined(oldSparse([Buffer.alloc(12, 0xff), 1], false, 9, "a")),
      "s",
      /out of order/,
    ],
    "old map with more data than there is": [joined(oldSparse([0, 100], false, 100, "a")), "s", /more data/],
  },
};

/** A block of 21 regions of nothing, with one more to come. */
function endless(): Buffer {
  const block = Buffer.alloc(512);
  for (let at = 0; at < 21 * 24; at += 12) block.write("00000000000 ", at);
  return block.fill(1, 504, 505);
}

for (const [area, cases] of Object.entries(refused)) {
  describe(`refused: ${area}`, () => {
    for (const [name, [tar, entry, why]] of Object.entries(cases)) {
      test(name, async () => {
        const error: unknown = await read(tar).then(
          (found) => assert.fail(`was read as ${found.slice(0, 5).join(", ")}`),
          (thrown: unknown) => thrown,
        );
        assert.ok(error instanceof TarError, String(error));
        assert.match(error.message, why);
        assert.equal(error.entry, entry);
        assert.doesNotMatch(error.message, /[\p{Cc}]/u);
      });
    }
  });
}

test("what one reader takes for data, another takes for a header: sizes on links and directories", async () => {
  const hidden = encodeEntry({ path: "hidden", data: "h" });
  // 1024 bytes "of data" that are an entry: GNU tar and Go take them for the next entry, and so is it here.
  for (const type of ["1", "2", "5", "6"] as const) {
    const link = patched({ path: "l", type, link: "first" }, { 124: "00000002000\0" });
    assert.deepEqual(await read(joined(first, link, hidden)), ["first:1", "l:0", "hidden:1"], type);
  }
});

test("a pax size that differs from the header's decides, so nothing hides between them", async () => {
  const inner = encodeEntry({ path: "inner", data: "i" });
  const record = encodeEntry({ path: "records", type: "x", data: "13 size=1024\n" });
  const outer = patched({ path: "outer" }, { 124: "00000000000\0" });
  assert.deepEqual(await read(joined(record, outer, inner)), ["outer:1024"]);
});

test("global headers say nothing of entries, wherever they stand", async () => {
  const global = encodeEntry({ path: "g", type: "g", data: "19 path=/etc/passwd\n12 size=4096\n" });
  const local = encodeEntry({ path: "records", type: "x", data: "10 path=p\n" });
  assert.deepEqual(await read(joined(global, local, global, encodeEntry({ path: "x", data: "1" }))), ["p:1"]);
});
