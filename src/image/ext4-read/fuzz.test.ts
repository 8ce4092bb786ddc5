// Damaged ext4 files: the walk over their files ends, and what cannot be read is an error that says so.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { fuzz, pick } from "../../lib/testdata/fuzz.ts";
import { walkExt4 } from "./walk.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-fuzz-ext4-read-"));
after(() => rmSync(directory, { recursive: true }));

/** With directories of one and of several blocks, a long link, and files with several extents. */
const sound = makeFileSystem();
/** Places where something is: the rest is mostly zeros. */
const used = [...sound.entries()].flatMap(([at, byte]) => (byte === 0 || byte === 0x78 ? [] : [at]));
/** Of all files together: more is a loop. */
const mostBytes = 64 * 1024 ** 2;

function makeFileSystem(): Buffer {
  const tree = join(directory, "tree");
  mkdirSync(join(tree, "a/b"), { recursive: true });
  for (let index = 0; index < 40; index++) writeFileSync(join(tree, "a/b", `file-${index}`), "x".repeat(index * 50));
  symlinkSync("t".repeat(100), join(tree, "link"));
  const file = join(directory, "sound.ext4");
  const options = ["-q", "-t", "ext4", "-O", "^has_journal", "-b", "1024", "-N", "64", "-d", tree];
  execFileSync("mke2fs", [...options, file, "512K"], { stdio: "pipe" });
  return readFileSync(file);
}

fuzz("damaged ext4 files", 100, async (random, seed) => {
  const spoilt = Buffer.from(sound);
  for (let count = 1 + random(4); count > 0; count--) spoilt[pick(random, used)] = random(256);
  const path = join(directory, `${seed}.ext4`);
  writeFileSync(path, spoilt);
  await using file = await open(path, "r");
  const stop = new AbortController();
  let bytes = 0;
  try {
    for await (const entry of walkExt4(file, stop.signal)) {
      if (entry.type !== "file") continue;
      for await (const piece of entry.content()) {
        bytes += piece.length;
        // A hole may be as large as a file can be: whoever reads it has a limit of his own.
        if (bytes > mostBytes) return;
      }
    }
  } catch (error) {
    assert.ok(error instanceof BangerError && error.code === "image.invalid", error as Error);
  } finally {
    rmSync(path);
  }
});
