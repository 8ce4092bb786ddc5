// What a blob that is fetched consists of in the end, as the thread that reads its file finds it.
import { buffer } from "node:stream/consumers";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { BlobHandle } from "../blob-fetch.ts";
import { checked } from "../verify.ts";

/** Throws what the download or the check of a cached blob threw. */
export async function contentOf(handle: BlobHandle): Promise<Buffer> {
  await using file = await handle.file();
  await file.done;
  const { fd, check, count, damaged } = file;
  if (count.value === 0) return Buffer.alloc(0);
  const bytes = createReadStream("", { fd, start: 0, end: count.value - 1, autoClose: false });
  if (check === undefined) return await buffer(bytes);
  try {
    return await buffer(Readable.from(checked(bytes as AsyncIterable<Buffer>, check, "the blob")));
  } catch (error) {
    damaged();
    throw error;
  }
}
