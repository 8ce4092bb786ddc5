// Damaged archives and compressed streams end in an error that says what is wrong; sound ones give what went in, however they are cut.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after } from "node:test";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { BangerError } from "../../lib/errors.ts";
import { quietProgress } from "../../lib/progress.ts";
import { fuzz, pick } from "../../lib/testdata/fuzz.ts";
import type { Random } from "../../lib/testdata/fuzz.ts";
import { buildRootfs } from "../layer/build.ts";
import { defaultLimits } from "../layer/limits.ts";
import { archive, everything } from "../testdata/archive.ts";
import { ByteReader } from "./byte-reader.ts";
import { decompress } from "./decompress.ts";
import { TarError } from "./header.ts";
import { readTar } from "./reader.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-fuzz-tar-"));
after(() => rmSync(directory, { recursive: true }));
const { signal } = new AbortController();

const sound = archive([
  ...everything.slice(0, 22),
  { path: "sparse", data: "ab", pax: { "GNU.sparse.map": "0,1,9000,1", "GNU.sparse.size": "9001" } },
  { path: "L", type: "L", data: `${"long/".repeat(40)}\0` },
  { path: "short", data: "x".repeat(700) },
]);

function chunksOf(random: Random, bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  // At most some hundred pieces.
  const longest = Math.max(pick(random, [3, 600, 4000, 100_000]), Math.ceil(bytes.length / 200));
  for (let at = 0; at < bytes.length;) {
    const length = 1 + random(longest);
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return chunks;
}

/** Overwrites, cuts, doubles or moves a few pieces. */
function mutate(random: Random, bytes: Buffer): Buffer {
  let changed = Buffer.from(bytes);
  for (let change = random(5); change >= 0; change--) {
    const at = random(changed.length + 1);
    const length = pick(random, [1, 8, 12, 512, 1024]);
    const kind = random(6);
    if (kind < 3)
      changed.fill(pick(random, [0, 0x80, 0xff, 0x37, random(256)]), at, Math.min(changed.length, at + length));
    else if (kind === 3) changed = changed.subarray(0, at);
    else if (kind === 4) changed = Buffer.concat([changed.subarray(0, at), changed.subarray(random(at + 1))]);
    else changed = Buffer.concat([changed.subarray(0, at), changed.subarray(at + length)]);
  }
  // A change that checksums would have found is a test of checksums only: most headers get theirs again.
  if (random(8) > 0) mendChecksums(changed);
  return changed;
}

function mendChecksums(bytes: Buffer): void {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512);
    if (block.toString("latin1", 257, 262) !== "ustar") continue;
    block.fill(" ", 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0`, 148, "latin1");
  }
}

const isExpected = (error: unknown) =>
  error instanceof TarError || /^Z_|^ZSTD_/.test(String((error as NodeJS.ErrnoException).code));

async function expectedOnly(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isExpected(error)) throw error;
  }
}

fuzz("tar entries", 400, async (random) => {
  const bytes = mutate(random, sound);
  await expectedOnly(async () => {
    const reader = new ByteReader(Readable.from(chunksOf(random, bytes)));
    let entries = 0;
    for await (const entry of readTar(reader, { mayEndEarly: random(2) === 0 })) {
      assert.ok(++entries <= bytes.length / 512, "no entry without a header");
      let bytesRead = 0;
      await entry.read({ write: (piece) => (bytesRead += piece.length), skip: (length) => (bytesRead += length) });
      if (entry.type === "file") assert.equal(bytesRead, entry.sizeBytes);
    }
    await reader.finish();
  });
});

fuzz("compressed archives", 200, async (random) => {
  const packed = pick(random, [gzipSync, zstdCompressSync])(sound);
  const bytes = mutate(random, random(4) === 0 ? Buffer.concat([packed, packed]) : packed);
  const source = Readable.from(chunksOf(random, bytes));
  source.on("error", () => {});
  await expectedOnly(async () => {
    let plain = 0;
    for await (const piece of decompress(source, { allowXz: false, signal })) {
      assert.ok((plain += piece.length) <= 300 * 1024 ** 2, "what bombs is stopped by whoever reads");
    }
  });
});

fuzz("images of damaged layers", 60, async (random, seed) => {
  const layers = Array.from({ length: 1 + random(3) }, (_, index) => {
    const plain = random(3) === 0 ? sound : mutate(random, sound);
    const packed = pick(random, [(bytes: Buffer) => bytes, gzipSync, zstdCompressSync])(plain);
    const bytes = random(6) === 0 ? mutate(random, packed) : packed;
    return { label: `L${index}`, diffId: undefined, open: async () => Readable.from(chunksOf(random, bytes)) };
  });
  const target = join(directory, `${seed}.ext4`);
  const limits = { ...defaultLimits, maxContentBytes: 64 * 1024 ** 2, maxUnpackedBytes: 128 * 1024 ** 2 };
  try {
    await buildRootfs({ layers, target, kind: "layers", limits }, quietProgress(signal));
  } catch (error) {
    assert.ok(error instanceof BangerError && error.code === "image.invalid", String(error));
    assert.match(error.message, /^layer "L\d"(, entry ".*")? is not usable: ./);
    assert.doesNotMatch(error.message, /\p{Cc}/u);
  }
  assert.deepEqual(readdirSync(directory), [`${seed}.ext4`]);
  rmSync(target);
});

/** A frame of what `plain` is, made with options of all kinds. */
function frameOf(random: Random, plain: Buffer): Buffer {
  const params: Record<number, number> = {
    [constants.ZSTD_c_compressionLevel]: pick(random, [1, 3, 9]),
    [constants.ZSTD_c_checksumFlag]: random(2),
    [constants.ZSTD_c_contentSizeFlag]: random(2),
    [constants.ZSTD_c_windowLog]: pick(random, [10, 17, 22]),
  };
  return zstdCompressSync(plain, { params });
}

function skippable(random: Random): Buffer {
  const head = Buffer.from("502a4d1800000000", "hex");
  const length = pick(random, [0, 1, 5, 70_000]);
  head[0] = 0x50 + random(16);
  head.writeUInt32LE(length, 4);
  return Buffer.concat([head, Buffer.alloc(length, random(256))]);
}

fuzz("zstd frames", 100, async (random) => {
  const parts: Buffer[] = [];
  const frames = Array.from({ length: 1 + random(6) }, () => {
    if (random(4) === 0) return skippable(random);
    const part = Buffer.alloc(pick(random, [0, 1, 100, 5000, 200_000]));
    for (let at = 0; at < part.length; at += 1 + random(9)) part[at] = random(256);
    parts.push(part);
    return frameOf(random, part);
  });
  const stream = Buffer.concat(frames);
  const unpack = async (bytes: Buffer) => {
    const pieces: Buffer[] = [];
    for await (const piece of decompress(Readable.from(chunksOf(random, bytes)), { allowXz: false, signal })) {
      pieces.push(Buffer.from(piece));
    }
    return Buffer.concat(pieces);
  };
  assert.ok((await unpack(stream)).equals(Buffer.concat(parts)));
  await expectedOnly(async () => void (await unpack(mutate(random, stream))));
});
