// What archives of odd and old programs hold is read as they meant it; what abuses the formats is refused.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { archive, encodeEntry } from "../testdata/archive.ts";
import type { TestEntry } from "../testdata/archive.ts";
import { ByteReader } from "./byte-reader.ts";
import { decompress } from "./decompress.ts";
import { readTar } from "./reader.ts";
import type { TarEntry } from "./reader.ts";

async function read(tar: Buffer, chunkBytes = tar.length || 1, mayEndEarly = false) {
  const chunks = Array.from({ length: Math.ceil(tar.length / chunkBytes) }, (_, index) =>
    tar.subarray(index * chunkBytes, (index + 1) * chunkBytes),
  );
  const found: (TarEntry & { data: string })[] = [];
  for await (const entry of readTar(new ByteReader(Readable.from(chunks)), { mayEndEarly })) {
    let data = "";
    await entry.read({
      write: (piece) => (data += piece.toString("latin1")),
      skip: (bytes) => (data += ".".repeat(bytes)),
    });
    found.push({ ...entry, data });
  }
  return found;
}

/** An entry with some bytes of its header replaced, and the checksum for it. */
function patched(entry: TestEntry, changes: Record<number, Buffer>): Buffer {
  const bytes = encodeEntry(entry);
  for (const [at, change] of Object.entries(changes)) change.copy(bytes, Number(at));
  bytes.fill(" ", 148, 156);
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0`, 148, "latin1");
  return bytes;
}

const end = Buffer.alloc(1024);
const withEnd = (...parts: Buffer[]) => Buffer.concat([...parts, end]);

describe("tar formats", () => {
  test("numbers in base 256, negative ones too", async () => {
    const time = Buffer.alloc(12, 0xff);
    const owner = Buffer.from([0x80, 0, 0, 0, 0x12, 0x34, 0x56, 0x78]);
    const [entry] = await read(withEnd(patched({ path: "x" }, { 108: owner, 136: time })));
    assert.equal(entry?.uid, 0x12345678);
    assert.equal(entry?.mtimeSeconds, -1);
    const huge = Buffer.alloc(12, 0x7f).fill(0x80, 0, 1);
    const second = patched({ path: "x" }, { 124: huge });
    await assert.rejects(read(withEnd(encodeEntry({ path: "first" }), second)), /size is out of range/);
  });

  test("headers of v7 have no prefix, and a slash at the end makes a directory", async () => {
    const v7 = { 156: Buffer.from("\0"), 257: Buffer.alloc(255, 0) };
    const [file, directory] = await read(withEnd(patched({ path: "x", data: "v7" }, v7), patched({ path: "d/" }, v7)));
    assert.deepEqual([file?.path, file?.type, file?.data], ["x", "file", "v7"]);
    assert.equal(directory?.type, "directory");
  });

  test("long names of GNU, also before and after pax records, of which the last count", async () => {
    const long = `${"n".repeat(120)}/x`;
    const [gnu, both] = await read(
      archive([
        { path: "././@LongLink", type: "L", data: `${long}\0` },
        { path: "././@LongLink", type: "K", data: `${long}t\0` },
        { path: "short", type: "2" },
        { path: "././@LongLink", type: "L", data: "gnu\0" },
        { path: "y", pax: { path: "pax" } },
      ]),
    );
    assert.deepEqual([gnu?.path, gnu?.linkPath], [long, `${long}t`]);
    assert.equal(both?.path, "pax");
  });

  test("global headers say nothing, and empty records take back", async () => {
    const [entry] = await read(
      archive([
        { path: "g", type: "g", data: "17 path=elsewhere\n" },
        { path: "x", pax: { path: "", uid: "" }, uid: 7 },
      ]),
    );
    assert.deepEqual([entry?.path, entry?.uid], ["x", 7]);
  });

  test("names are bytes", async () => {
    const [entry] = await read(archive([{ path: "\xff\xfe\\\n", pax: { "SCHILY.xattr.user.a=b": "c" } }]));
    assert.equal(entry?.path, "\xff\xfe\\\n");
    assert.equal(entry?.xattrs.get("user.a")?.toString(), "b=c");
  });

  test("a size on what is no file is believed only when data follows", async () => {
    const found = await read(
      withEnd(
        patched({ path: "l", type: "2", link: "t" }, { 124: Buffer.from("00000001000\0") }),
        encodeEntry({ path: "d", type: "5", data: "means nothing" }),
        encodeEntry({ path: "f", data: "file" }),
      ),
    );
    assert.deepEqual(
      found.map(({ path, data, sizeBytes }) => [path, data, sizeBytes]),
      [
        ["l", "", 0],
        ["d", "", 0],
        ["f", "file", 4],
      ],
    );
  });

  test("every chunking gives the same", async () => {
    const tar = archive([
      { path: "a", data: "x".repeat(1500) },
      { path: "d", type: "5" },
      { path: "b", data: "y" },
    ]);
    for (const chunk of [1, 7, 511, 512, 513, 4000]) {
      assert.deepEqual(
        (await read(tar, chunk)).map(({ path, data }) => path + data.length),
        ["a1500", "d0", "b1"],
      );
    }
  });

  test("an end without its mark, where that is allowed", async () => {
    const bytes = encodeEntry({ path: "x", data: "x" });
    assert.equal((await read(bytes, bytes.length, true)).length, 1);
    await assert.rejects(read(bytes), /cut short/);
    await assert.rejects(read(bytes.subarray(0, 700), 700, true), /cut short/);
  });

  test("sparse maps", async () => {
    const sparse = (pax: Record<string, string>, data: string) => archive([{ path: "s", data, pax }]);
    const one = {
      "GNU.sparse.major": "1",
      "GNU.sparse.minor": "0",
      "GNU.sparse.name": "real",
      "GNU.sparse.realsize": "9",
    };
    const map = (text: string) => text.padEnd(512, "\0");
    const [entry] = await read(sparse(one, `${map("2\n1\n2\n6\n1\n")}abc`));
    assert.deepEqual([entry?.path, entry?.data, entry?.sizeBytes, entry?.storedBytes], ["real", ".ab...c..", 9, 3]);
    const [listed] = await read(sparse({ "GNU.sparse.map": "0,1,3,1", "GNU.sparse.size": "4" }, "ab"));
    assert.equal(listed?.data, "a..b");
    const refused: [Record<string, string>, string, RegExp][] = [
      [one, map("2\n6\n1\n1\n2\n"), /out of order/],
      [one, map("1\n8\n2\n"), /past its end/],
      [one, map("1\n0\n9\n"), /more data than there is/],
      [one, map("99999999\n"), /regions/],
      [one, map("x\n"), /malformed/],
      [one, "1".repeat(600), /malformed/],
      [one, "3\n1\n", /does not end/],
      [{ "GNU.sparse.map": "0,1,3", "GNU.sparse.size": "4" }, "ab", /malformed/],
      [{ "GNU.sparse.map": "0,1" }, "ab", /malformed/],
      [{ "GNU.sparse.major": "2", "GNU.sparse.minor": "0" }, "ab", /unknown form/],
    ];
    for (const [pax, data, message] of refused) await assert.rejects(read(sparse(pax, data)), message);
  });

  test("header abuse", async () => {
    const extended = (count: number) =>
      archive([...Array.from({ length: count }, () => ({ path: "g", type: "g" as const, data: "" })), { path: "x" }]);
    assert.equal((await read(extended(64))).length, 1);
    await assert.rejects(read(extended(65)), /too many extended headers/);
    const records = ["99999999999 a=b\n", "5 a=b", "0 a=b\n", "-3 a=b\n", " a=b\n", "6 ab=\n ", "0x6 a=b\n"];
    for (const data of records) {
      await assert.rejects(
        read(archive([{ path: "p", type: "x", data }, { path: "x" }])),
        /pax record is malformed/,
        data,
      );
    }
    await assert.rejects(read(withEnd(encodeEntry({ path: "p", type: "L", data: "x" }))), /after an extended header/);
  });
});

describe("compression", () => {
  const unpack = async (bytes: Buffer, chunkBytes: number) => {
    const chunks = Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, index) =>
      bytes.subarray(index * chunkBytes, (index + 1) * chunkBytes),
    );
    const source = Readable.from(chunks);
    const options = { allowXz: false, signal: new AbortController().signal };
    const pieces: Buffer[] = [];
    for await (const piece of decompress(source, options)) pieces.push(piece);
    return Buffer.concat(pieces).toString("latin1");
  };
  const text = (length: number) => Array.from({ length }, (_, index) => (index * index * 7919) % 65_521).join(" ");
  const skippable = Buffer.from("512a4d1805000000aaaaaaaaaa", "hex");
  const empty = Buffer.from("502a4d1800000000", "hex");
  const noise = Buffer.from(Array.from({ length: 400_000 }, (_, index) => (Math.imul(index, 2654435761) >>> 13) & 255));

  test("zstd of many frames, with skippable ones, in every chunking", async () => {
    const parts = [text(10), "", "x".repeat(100_000), text(500)];
    const frames = Buffer.concat([skippable, ...parts.flatMap((part) => [zstdCompressSync(part), empty]), skippable]);
    for (const chunk of [1, 3, 100, frames.length]) assert.equal(await unpack(frames, chunk), parts.join(""));
    // Too large to be held: these are decompressed as they come.
    const large = Buffer.concat([
      zstdCompressSync(noise),
      zstdCompressSync("between"),
      zstdCompressSync(noise),
      skippable,
    ]);
    const wanted = `${noise.toString("latin1")}between${noise.toString("latin1")}`;
    for (const chunk of [1000, 65_536, large.length]) assert.ok((await unpack(large, chunk)) === wanted);
    const wide = zstdCompressSync(Buffer.alloc(9_000_000, "w"));
    assert.equal((await unpack(Buffer.concat([wide, wide]), 10)).length, 18_000_000);
    for (const cut of [frames.length - 3, 15, large.length - 20]) {
      await assert.rejects(unpack((cut > frames.length ? large : frames).subarray(0, cut), 50), /cut short|zstd|ZSTD/i);
    }
    await assert.rejects(unpack(Buffer.concat([zstdCompressSync("x"), Buffer.from("garbage")]), 5), /damaged/);
  });

  test("gzip of many members", async () => {
    const members = Buffer.concat([gzipSync(text(100)), gzipSync(""), gzipSync(text(200))]);
    for (const chunk of [1, 77, members.length]) assert.equal(await unpack(members, chunk), text(100) + text(200));
    await assert.rejects(unpack(members.subarray(0, -4), 50), { code: "Z_BUF_ERROR" });
  });
});
