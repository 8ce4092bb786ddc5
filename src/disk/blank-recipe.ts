// What a blank ext4 file consists of: its few runs of data, small enough to be read and written faster than
// mke2fs starts.
import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { run } from "../lib/run.ts";

export interface Recipe {
  sizeBytes: number;
  runs: readonly { offset: number; data: Buffer }[];
}

/** More is no blank disk that this is meant for. */
const maxDataBytes = 16 * 1024 * 1024;
const digestBytes = 32;
const pageBytes = 4096;

/** Finds out what a sparse file consists of. Undefined when it is too much to keep. Throws `command.missing` without qemu-img. */
export async function readRecipe(path: string, options: { signal: AbortSignal }): Promise<Recipe | undefined> {
  const extents = await dataExtents(path, options.signal);
  if (extents.reduce((sum, { length }) => sum + length, 0) > maxDataBytes) return undefined;
  await using file = await open(path, "r");
  const runs: { offset: number; data: Buffer }[] = [];
  for (const { start, length } of extents) {
    const data = Buffer.alloc(length);
    await file.read(data, 0, length, start);
    for (const [from, to] of nonZeroRuns(data)) runs.push({ offset: start + from, data: data.subarray(from, to) });
  }
  return { sizeBytes: (await file.stat()).size, runs };
}

/** Writes the file that the recipe describes into an empty one. */
export async function applyRecipe(file: FileHandle, recipe: Recipe): Promise<void> {
  await file.truncate(recipe.sizeBytes);
  for (const { offset, data } of recipe.runs) {
    for (let done = 0; done < data.length;) {
      done += (await file.write(data, done, data.length - done, offset + done)).bytesWritten;
    }
  }
}

/** The content of a recipe file: a digest of what follows, a line of JSON, the data. */
export function encodeRecipe({ sizeBytes, runs }: Recipe): Buffer {
  const header: Header = { sizeBytes, runs: runs.map(({ offset, data }) => [offset, data.length]) };
  const body = Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...runs.map(({ data }) => data)]);
  return Buffer.concat([digest(body), body]);
}

/** The inverse of `encodeRecipe`; undefined when the file was damaged. */
export function decodeRecipe(content: Buffer): Recipe | undefined {
  const body = content.subarray(digestBytes);
  if (!content.subarray(0, digestBytes).equals(digest(body))) return undefined;
  const end = body.indexOf("\n");
  const header = JSON.parse(body.toString("utf8", 0, end)) as Header;
  let at = end + 1;
  const runs = header.runs.map(([offset, length]) => ({ offset, data: body.subarray(at, (at += length)) }));
  return { sizeBytes: header.sizeBytes, runs };
}

interface Header {
  sizeBytes: number;
  runs: [offset: number, length: number][];
}

const digest = (data: Buffer) => createHash("sha256").update(data).digest();

/** Node has no SEEK_DATA, and reading the holes of a large file would take seconds. */
async function dataExtents(path: string, signal: AbortSignal): Promise<{ start: number; length: number }[]> {
  const { stdout } = await run({
    file: "qemu-img",
    args: ["map", "--output=json", "-f", "raw", path],
    timeoutMs: 60_000,
    signal,
  });
  const extents = JSON.parse(stdout.toString("utf8")) as { start: number; length: number; data: boolean }[];
  return extents.filter(({ data }) => data);
}

function* nonZeroRuns(data: Buffer): Generator<[from: number, to: number]> {
  const zero = Buffer.alloc(pageBytes);
  let from: number | undefined;
  for (let at = 0; at < data.length; at += pageBytes) {
    const page = data.subarray(at, at + pageBytes);
    const isZero = page.equals(zero.subarray(0, page.length));
    if (isZero && from !== undefined) {
      yield [from, at];
      from = undefined;
    } else if (!isZero) from ??= at;
  }
  if (from !== undefined) yield [from, data.length];
}
