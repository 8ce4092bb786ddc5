// Builds one large or hostile image in this process and prints what it took: node test/support/image-memory.ts <case> <count>
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createGzip, createZstdCompress } from "node:zlib";
import { defaultLimits, rootfsFromLayers, type ImageLayer } from "../../src/image/rootfs.ts";
import { encodeEntry } from "../../src/image/testdata/archive.ts";
import type { TestEntry } from "../../src/image/testdata/archive.ts";
import { quietProgress } from "../../src/lib/progress.ts";

/** What the run took. */
export interface MemoryRun {
  /** The error's message; "" when the image was built. */
  error: string;
  peakMib: number;
  seconds: number;
  /** Of the disk. */
  imageMib: number;
}

const mib = 1024 ** 2;
const end = Buffer.alloc(1024);

async function* tarOf(entries: Iterable<TestEntry>): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = [];
  for (const entry of entries) {
    if (pieces.push(encodeEntry(entry)) < 500) continue;
    yield Buffer.concat(pieces);
    pieces = [];
  }
  yield Buffer.concat([...pieces, end]);
}

function* numbered(count: number, one: (index: number) => TestEntry): Generator<TestEntry> {
  for (let index = 0; index < count; index++) yield one(index);
}

/** A file of zeros of so many MiB, as a tar. */
async function* zeros(count: number): AsyncGenerator<Buffer> {
  yield encodeEntry({ path: "zeros", pax: { size: String(count * mib) } });
  const piece = Buffer.alloc(mib);
  for (let index = 0; index < count; index++) yield piece;
  yield end;
}

const layer = (label: string, open: () => Readable): ImageLayer => ({
  label,
  diffId: undefined,
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  open: async () => open(),
});
const oneLayer = (entries: () => Iterable<TestEntry>) => [layer("1", () => Readable.from(tarOf(entries())))];

const scattered = (regions: number) => ({
  "GNU.sparse.major": "1",
  "GNU.sparse.minor": "0",
  "GNU.sparse.realsize": String(regions * 70_000),
});
/** A sparse file with so many bytes, each in a window of its own. */
function scatteredFile(index: number, regions: number): TestEntry {
  let map = `${regions}\n`;
  for (let region = 0; region < regions; region++) map += `${region * 70_000}\n1\n`;
  const head = Buffer.alloc(Math.ceil(map.length / 512) * 512);
  head.write(map);
  return { path: `s${index}`, data: Buffer.concat([head, Buffer.alloc(regions, "x")]), pax: scattered(regions) };
}

const cases: Record<string, (count: number) => ImageLayer[]> = {
  /** Empty files, 1000 in a directory. */
  entries: (count) => oneLayer(() => numbered(count, (index) => ({ path: `d${Math.floor(index / 1000)}/${index}` }))),
  /** Empty files in one directory, with names of 200 bytes. */
  "long-names": (count) =>
    oneLayer(() => numbered(count, (index) => ({ path: "x", pax: { path: `${index}`.padEnd(200, "n") } }))),
  /** Files with an attribute of their own. */
  attributes: (count) =>
    oneLayer(() => numbered(count, (index) => ({ path: `a${index}`, pax: { "SCHILY.xattr.user.a": `${index}` } }))),
  /** Layers with one file each, of which the next layer deletes the one before. */
  layers: (count) =>
    Array.from({ length: count }, (_, index) =>
      layer(String(index), () =>
        Readable.from(tarOf([{ path: `f${index}`, data: "x" }, { path: `.wh.f${index - 1}` }])),
      ),
    ),
  /** MiB of zeros. */
  gzip: (count) => [layer("bomb", () => Readable.from(zeros(count)).pipe(createGzip({ level: 1 })))],
  zstd: (count) => [layer("bomb", () => Readable.from(zeros(count)).pipe(createZstdCompress()))],
  /** Sparse files of 100,000 regions. */
  sparse: (count) => oneLayer(() => numbered(count, (index) => scatteredFile(index, 100_000))),
};

/** Runs a case in this process. `maxContentMib`: what files may take. */
async function runCase(name: string, count: number, maxContentMib: number): Promise<MemoryRun> {
  const layers = cases[name]?.(count);
  if (layers === undefined) throw new Error(`no case ${name}: ${Object.keys(cases).join(", ")}`);
  const directory = mkdtempSync(join(tmpdir(), "banger-memory-"));
  const target = join(directory, "rootfs.ext4");
  const startedMs = performance.now();
  try {
    const limits = { ...defaultLimits, maxLayers: 20_000, maxContentBytes: maxContentMib * mib };
    const progress = quietProgress(new AbortController().signal);
    const error = await rootfsFromLayers(layers, target, progress, limits).then(
      () => "",
      (thrown: unknown) => String(thrown),
    );
    return {
      error,
      // The kernel tells it in KiB.
      peakMib: Math.round(process.resourceUsage().maxRSS / 1024),
      seconds: Math.round((performance.now() - startedMs) / 100) / 10,
      imageMib: Math.round(((statSync(target, { throwIfNoEntry: false })?.blocks ?? 0) * 512) / mib),
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const [name = "", count = "1", maxContentMib = "65536"] = process.argv.slice(2);
console.log(JSON.stringify(await runCase(name, Number(count), Number(maxContentMib))));
