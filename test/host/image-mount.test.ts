// What only a kernel can tell of an image: that it finds names in large directories, and where the holes of files are.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, test } from "node:test";
import { rootfsFromTar } from "../../src/image/rootfs.ts";
import { archive, encodeEntry } from "../../src/image/testdata/archive.ts";
import { assertSound } from "../../src/image/testdata/ext4.ts";
import { quietProgress } from "../../src/lib/progress.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-mount-"));
after(() => rmSync(directory, { recursive: true }));

function sh(file: string, ...args: string[]): void {
  const ran = spawnSync(file, args, { encoding: "utf8" });
  assert.equal(ran.status, 0, `${file} ${args.join(" ")}: ${ran.stderr}`);
}

async function mounted(name: string, source: string | Readable, look: (root: string) => void): Promise<void> {
  const image = join(directory, `${name}.ext4`);
  await rootfsFromTar(source, image, quietProgress(new AbortController().signal));
  assertSound(image);
  const at = join(directory, name);
  mkdirSync(at);
  sh("mount", "-o", "ro,loop", image, at);
  try {
    look(at);
  } finally {
    sh("umount", at);
  }
}

test("the kernel finds each of 100,000 names in a directory, and none that is not there", async () => {
  const count = 100_000;
  const name = (index: number) => `name-${index}-${"é\u00ff".repeat(index % 9)}`;
  function* entries() {
    for (let index = 0; index < count; index += 1000) {
      const some = Array.from({ length: 1000 }, (_, more) => Buffer.from(`d/${name(index + more)}`).toString("latin1"));
      yield Buffer.concat(some.map((path) => encodeEntry({ path })));
    }
    yield archive([]);
  }
  await mounted("many", Readable.from(entries()), (root) => {
    assert.equal(readdirSync(join(root, "d")).length, count);
    for (let index = 0; index < count; index++) statSync(join(root, "d", name(index)));
    for (const missing of ["name-", "name-100000-", "x"]) {
      assert.throws(() => statSync(join(root, "d", missing)), { code: "ENOENT" });
    }
  });
});

// Data at the start, on both sides of 4 GiB, and at the end; the rest are holes.
const marks: [number, string][] = [
  [0, "first"],
  [70_000, "near the start"],
  [4 * 1024 ** 3 - 3, "across"],
  [5 * 1024 ** 3 + 12_345, "the end"],
];
const formats = [
  ["gnu"],
  ["pax", "--sparse-version=0.0"],
  ["pax", "--sparse-version=0.1"],
  ["pax", "--sparse-version=1.0"],
];
for (const [format = "", version] of formats) {
  test(`a sparse file of 5 GiB, stored by GNU tar as ${version ?? format}`, async () => {
    const source = mkdtempSync(join(directory, "source-"));
    const file = join(source, "large");
    writeFileSync(file, "");
    for (const [offset, text] of marks) {
      const written = spawnSync("dd", [`of=${file}`, "bs=64K", "conv=notrunc", "oflag=seek_bytes", `seek=${offset}`], {
        input: text,
      });
      assert.equal(written.status, 0, written.stderr.toString());
    }
    const tar = join(source, "x.tar");
    sh(
      "tar",
      "--sparse",
      `--format=${format}`,
      ...(version === undefined ? [] : [version]),
      "-cf",
      tar,
      "-C",
      source,
      "large",
    );
    await mounted(`sparse-${version ?? format}`, tar, (root) => {
      const { size, blocks } = statSync(join(root, "large"));
      assert.equal(size, statSync(file).size);
      assert.ok(blocks * 512 < 1024 * 1024, `${blocks} blocks`);
      const opened = openSync(join(root, "large"), "r");
      for (const [offset, text] of marks) {
        const found = Buffer.alloc(text.length + 2);
        readSync(opened, found, 0, found.length, offset);
        assert.equal(found.toString("latin1").replace(/\0+$/, ""), text);
      }
      const hole = Buffer.alloc(4096, 1);
      readSync(opened, hole, 0, hole.length, 2 * 1024 ** 3);
      assert.deepEqual(hole, Buffer.alloc(4096));
      closeSync(opened);
    });
  });
}
