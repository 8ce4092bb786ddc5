// Copies memory of this very process, whose content the test knows.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseMaps } from "./guest-ram.ts";
import { PageCopy } from "./page-copy.ts";
import { ownPages, ownsMoreThan, pageBytes } from "./page-map.ts";

const present = 1n << 63n;
const swapped = 1n << 62n;
const ofFile = 1n << 61n;
const entries = (...values: bigint[]) => new Uint32Array(new BigUint64Array(values).buffer);

test("pages of the process's own, and none of a file or that are not there", () => {
  assert.deepEqual(ownPages(entries(0n, ofFile, present | ofFile, swapped | ofFile), 8), []);
  assert.deepEqual(ownPages(entries(present, swapped, 0n, present | 5n, present), 8), [
    [0, 2],
    [3, 5],
  ]);
  assert.deepEqual(ownPages(entries(present, present, present), 2), [
    [0, 2],
    [2, 3],
  ]);
  assert.deepEqual(ownPages(entries(), 8), []);
});

const pages = 40_000 / 4;
const mib = 1024 * 1024;

/** A large buffer of this process, and the address of its first whole page. */
function ownMemory(): { bytes: Uint8Array; start: number } {
  const bytes = new Uint8Array((pages + 1) * pageBytes);
  const mark = randomBytes(16);
  bytes.set(mark);
  const memory = openSync("/proc/self/mem", "r");
  const large = parseMaps(readFileSync("/proc/self/maps", "utf8")).filter(
    ({ path, access, start, end }) => path === "" && access === "rw-p" && end - start >= bytes.length,
  );
  const head = Buffer.alloc(1024 * 1024);
  try {
    for (const { start } of large) {
      const at = head.subarray(0, readSync(memory, head, 0, head.length, start)).indexOf(mark);
      if (at === -1) continue;
      const skip = (pageBytes - ((start + at) % pageBytes)) % pageBytes;
      return { bytes: bytes.subarray(skip, skip + pages * pageBytes), start: start + at + skip };
    }
  } finally {
    closeSync(memory);
  }
  throw new Error("the test does not find its own memory");
}

test("every page comes to its place, by one thread or by several; zeros leave holes, or take the place of what was there", async () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-pages-"));
  try {
    const { bytes, start } = ownMemory();
    bytes.fill(0);
    const page = (index: number) => bytes.subarray(index * pageBytes, (index + 1) * pageBytes);
    for (const index of [0, 1, 2, 4095, 4096, 5000, pages - 1]) page(index).set(randomBytes(pageBytes));
    // Begins with a zero and is none; one after the other, so that a run is cut inside.
    page(5001)[pageBytes - 1] = 1;
    page(5003)[1] = 1;
    const source = { pid: process.pid, start, sizeBytes: bytes.length };
    // The buffer was written to from end to end.
    assert.equal(await ownsMoreThan(source, bytes.length - 1), true);
    assert.equal(await ownsMoreThan(source, bytes.length), false);
    for (const threads of [1, 3]) {
      const file = join(directory, `memory${threads}`);
      writeFileSync(file, "");
      truncateSync(file, bytes.length);
      let copied = 0;
      for (let index = 0; index < threads; index++) {
        using copy = new PageCopy(source, { index, of: threads }, { path: file, at: 0 });
        copied += copy.copy();
      }
      assert.equal(copied, 9 * pageBytes);
      assert.ok(Buffer.compare(readFileSync(file), bytes) === 0);
      assert.ok(statSync(file).blocks * 512 < 40 * pageBytes, `${statSync(file).blocks} blocks`);

      writeFileSync(file, Buffer.alloc(bytes.length, "x"));
      using copy = new PageCopy(source, { index: 0, of: 1 }, { path: file, at: 0 });
      // What this process never wrote to is not its own and stays.
      assert.equal(copy.copy(), bytes.length);
      assert.ok(Buffer.compare(readFileSync(file), bytes) === 0);
      page(0).fill(0);
      assert.equal(copy.copy(), pageBytes);
      assert.ok(Buffer.compare(readFileSync(file), bytes) === 0);
      page(0).set(randomBytes(pageBytes));
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("others have their turn also where nothing is to be copied, which in a large machine is most of it", () => {
  const { bytes, start } = ownMemory();
  const untouched = { pid: process.pid, start: start + bytes.length / 2, sizeBytes: 4 * mib };
  using copy = new PageCopy(untouched, { index: 0, of: 1 }, { path: "/dev/null", at: 0 });
  assert.deepEqual([...copy.pieces()], [0]);
});

// In a process of its own: one that never ends could not be ended from inside.
const writesToTheDead = `
  import { spawn } from "node:child_process";
  import { once } from "node:events";
  import { openSync } from "node:fs";
  import { writeFully } from ${JSON.stringify(new URL("page-map.ts", import.meta.url))};
  const child = spawn("sleep", ["60"]);
  const memory = openSync("/proc/" + child.pid + "/mem", "r+");
  child.kill("SIGKILL");
  await once(child, "exit");
  try {
    writeFully(memory, Buffer.alloc(4096), 4096);
  } catch (error) {
    console.log(error.message);
  }
`;

test("memory of a process that ended while it was written to is an error, and is not tried for ever", () => {
  const { stdout, signal } = spawnSync(process.execPath, ["--input-type=module", "--eval", writesToTheDead], {
    encoding: "utf8",
    timeout: 30_000,
    killSignal: "SIGKILL",
  });
  assert.deepEqual([stdout, signal], ["the VMM ended, or its memory became smaller, while it was written to\n", null]);
});
