// Looks for byte strings in files that are too large to be read at once, such as the memory of a guest.
import assert from "node:assert/strict";
import { closeSync, openSync, readSync } from "node:fs";

/** The names of the byte strings that a file holds; each is at least 12 bytes long. Holes are read as zeros. */
export function search(path: string, wanted: ReadonlyMap<string, Buffer>): string[] {
  const longest = Math.max(...[...wanted.values()].map((bytes) => bytes.length));
  assert.ok([...wanted.values()].every((bytes) => bytes.length >= 12));
  const fd = openSync(path, "r");
  const window = Buffer.alloc(8 * 1024 * 1024);
  const found = new Set<string>();
  try {
    for (let at = 0; ; at += window.length - longest) {
      const length = readSync(fd, window, 0, window.length, at);
      for (const [name, bytes] of wanted) if (window.subarray(0, length).includes(bytes)) found.add(name);
      if (length < window.length) return [...found];
    }
  } finally {
    closeSync(fd);
  }
}
