// Bytes that files take, and copies that take no more.
import assert from "node:assert/strict";
import { linkSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { smallDisk } from "./testdata/small-disk.ts";
import { assertSameContent, failsWith, gib, io, mib, never, temporary } from "./testdata/tools.ts";
import { allocatedBytes, copySparse } from "./usage.ts";

function sparseFile(path: string): string {
  writeFileSync(path, Buffer.alloc(mib, 7), { mode: 0o600 });
  truncateSync(path, 8 * gib);
  io(path, "raw", "write -P 9 5G 1M");
  return path;
}

test("holes take nothing, two names of one file count once, and what is missing counts nothing", async () => {
  using directory = temporary();
  const path = sparseFile(join(directory.path, "a"));
  linkSync(path, join(directory.path, "b"));
  const bytes = await allocatedBytes(path);
  assert.ok(bytes >= 2 * mib && bytes < 2.1 * mib, String(bytes));
  assert.equal(await allocatedBytes(path, join(directory.path, "b"), join(directory.path, "missing")), bytes);
  assert.equal(await allocatedBytes(), 0);
});

test("a copy has the same content, holes and mode, and replaces a file without writing into it", async () => {
  using directory = temporary();
  const from = sparseFile(join(directory.path, "from"));
  const [to, other] = [join(directory.path, "to"), join(directory.path, "other")];
  writeFileSync(to, "old");
  linkSync(to, other);
  await copySparse(from, to, never);
  assertSameContent(from, "raw", to, "raw");
  assert.equal(statSync(to).mode & 0o777, 0o600);
  assert.ok((await allocatedBytes(to)) < 2.1 * mib);
  assert.equal(readFileSync(other, "utf8"), "old");
});

test("a copy that fails leaves nothing", async () => {
  await using disk = await smallDisk(4);
  using directory = temporary();
  const from = sparseFile(join(directory.path, "from"));
  {
    using _filler = disk.fill(mib);
    await assert.rejects(
      copySparse(from, join(disk.path, "to"), never),
      failsWith("disk.full", /no space left to copy/),
    );
    assert.deepEqual(readdirSync(disk.path), ["filler"]);
  }
  await copySparse(from, join(disk.path, "to"), never);
  await assert.rejects(
    copySparse(join(directory.path, "missing"), join(disk.path, "x"), never),
    failsWith("command.failed"),
  );
  const reason = new Error("enough");
  await assert.rejects(copySparse(from, join(disk.path, "x"), { signal: AbortSignal.abort(reason) }), reason);
  assert.deepEqual(readdirSync(disk.path), ["to"]);
});
