// Blank disks are what mke2fs makes, whole or not there, whatever happens to the cache, the disk or the process.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ensureDisk, makeDisk, saveRecipe } from "./blank.ts";
import { smallDisk } from "./testdata/small-disk.ts";
import { assertSoundFileSystem, failsWith, gib, mib, never, temporary, tool } from "./testdata/tools.ts";

const { signal } = never;

/** What dumpe2fs says of the whole file system, without what differs by chance. */
function describe(path: string): string {
  return tool("dumpe2fs", path)
    .split("\n")
    .filter((line) => !/UUID|Seed|created|time:|checked|Checksum:|checksum 0x/i.test(line))
    .join("\n")
    .replaceAll(/csum 0x[0-9a-f]+/g, "csum");
}

for (const sizeBytes of [64 * mib, 8 * gib, 100 * gib]) {
  test(`a disk of ${sizeBytes / mib} MiB from a recipe is the one that mke2fs makes`, async () => {
    using directory = temporary();
    const at = (name: string) => join(directory.path, name);
    await ensureDisk(at("plain"), "work", sizeBytes, signal);
    await ensureDisk(at("first"), "work", sizeBytes, signal, at("cache"));
    await ensureDisk(at("second"), "work", sizeBytes, signal, at("cache"));
    for (const name of ["plain", "first", "second"]) {
      assertSoundFileSystem(at(name));
      assert.equal(statSync(at(name)).size, sizeBytes);
      assert.equal(statSync(at(name)).mode & 0o777, 0o600);
      assert.equal(describe(at(name)), describe(at("plain")));
    }
    assert.match(describe(at("second")), /volume name: +work\n/);
    tool("qemu-img", "compare", "-f", "raw", "-F", "raw", at("first"), at("second"));
    const taken = statSync(at("second")).blocks * 512;
    assert.ok(taken < mib + sizeBytes / 50_000, `${taken} bytes are taken`);
  });
}

test("a disk that is there is left alone", async () => {
  using directory = temporary();
  const path = join(directory.path, "disk");
  writeFileSync(path, "of the guest");
  await ensureDisk(path, "work", 64 * mib, signal, join(directory.path, "cache"));
  assert.equal(readFileSync(path, "utf8"), "of the guest");
  assert.deepEqual(readdirSync(directory.path), ["disk"]);
});

test("many at once share one recipe", async () => {
  using directory = temporary();
  const paths = Array.from({ length: 6 }, (_, index) => join(directory.path, `${index}.ext4`));
  await Promise.all(paths.map((path) => ensureDisk(path, "work", 64 * mib, signal, join(directory.path, "cache"))));
  paths.forEach(assertSoundFileSystem);
  assert.match(readdirSync(join(directory.path, "cache/blank")).join(" "), /^67108864-work-[0-9a-f]{12}\.recipe$/);
});

test("a damaged recipe is made anew", async () => {
  using directory = temporary();
  const at = (name: string) => join(directory.path, name);
  await ensureDisk(at("0"), "work", 64 * mib, signal, at("cache"));
  const recipe = join(at("cache/blank"), readdirSync(at("cache/blank"))[0] ?? "");
  const content = readFileSync(recipe);
  const flipped = Buffer.from(content);
  flipped.writeUInt8(flipped.readUInt8(content.length - 5000) ^ 1, content.length - 5000);
  const damaged = [flipped, content.subarray(0, -4096), Buffer.alloc(0), Buffer.alloc(32), Buffer.from("{}\n")];
  for (const [index, bad] of damaged.entries()) {
    writeFileSync(recipe, bad);
    await ensureDisk(at(`after-${index}`), "work", 64 * mib, signal, at("cache"));
    assertSoundFileSystem(at(`after-${index}`));
    assert.notDeepEqual(readFileSync(recipe), bad);
  }
});

test("the recipes used last are kept, and what a killed process left is removed", async () => {
  using directory = temporary();
  const cache = join(directory.path, "cache");
  const make = (name: string, sizeMib: number) =>
    ensureDisk(join(directory.path, name), "work", sizeMib * mib, signal, cache);
  const age = (name: string, seconds: number) => {
    const time = new Date(Date.now() - seconds * 1000);
    utimesSync(join(cache, "blank", name), time, time);
  };
  const recipes = () => readdirSync(join(cache, "blank"));
  for (let index = 0; index < 8; index++) await make(`${index}`, 64 + index);
  recipes().forEach((name, index) => age(name, 100 - index));
  const [oldest = "", next = ""] = recipes();
  await make("again", Number(oldest.split("-")[0]) / mib);
  writeFileSync(join(cache, "blank/abandoned.tmp"), "");
  writeFileSync(join(cache, "blank/under-way.tmp"), "");
  age("abandoned.tmp", 4000);
  await make("ninth", 80);
  assert.equal(recipes().filter((name) => name.endsWith(".recipe")).length, 8);
  assert.deepEqual(
    [
      recipes().includes(oldest),
      recipes().includes(next),
      recipes().includes("abandoned.tmp"),
      recipes().includes("under-way.tmp"),
    ],
    [true, false, false, true],
  );
});

test("a full disk is said to be full, leaves nothing, and does when there is room", async () => {
  await using disk = await smallDisk(4);
  using directory = temporary();
  for (const cache of [undefined, join(directory.path, "cache"), join(disk.path, "cache")]) {
    const path = join(disk.path, `disk${cache?.length ?? 0}`);
    const make = () => ensureDisk(path, "work", 8 * gib, signal, cache);
    {
      using _filler = disk.fill(60_000);
      await assert.rejects(make(), failsWith("disk.full", /no space left to make the disk "/));
      assert.deepEqual(
        readdirSync(disk.path).filter((name) => name.startsWith("disk") && path.endsWith(name)),
        [],
      );
    }
    await make();
    assertSoundFileSystem(path);
  }
});

test("what was cancelled leaves nothing", async () => {
  using directory = temporary();
  const reason = new Error("enough");
  const path = join(directory.path, "disk");
  await assert.rejects(ensureDisk(path, "work", 8 * gib, AbortSignal.abort(reason)), reason);
  await ensureDisk(join(directory.path, "other"), "work", 8 * gib, signal, join(directory.path, "cache"));
  await assert.rejects(
    ensureDisk(path, "work", 8 * gib, AbortSignal.abort(reason), join(directory.path, "cache")),
    reason,
  );
  assert.deepEqual([existsSync(path), existsSync(`${path}.new`)], [false, false]);
});

test("a disk is written down when it holds little, and made again as it was", async () => {
  using directory = temporary();
  const at = (name: string) => join(directory.path, name);
  const disk = Buffer.alloc(17 * mib);
  disk.fill("x", 0, 16 * mib - 4096);
  writeFileSync(at("little"), disk);
  truncateSync(at("little"), gib);
  // What is no hole, but zeros, counts: it is read to find that out.
  tool("fallocate", "--dig-holes", at("little"));
  assert.equal(await saveRecipe(at("little"), at("recipe"), { signal }), true);
  assert.equal(await makeDisk(at("again"), at("recipe"), signal), true);
  tool("qemu-img", "compare", "-f", "raw", "-F", "raw", at("little"), at("again"));

  disk.fill("x");
  writeFileSync(at("much"), disk);
  assert.equal(await saveRecipe(at("much"), at("none"), { signal }), false);
  assert.deepEqual([existsSync(at("none")), await makeDisk(at("other"), at("none"), signal)], [false, false]);
  assert.ok(!existsSync(at("other")));
});
