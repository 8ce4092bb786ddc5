// Archives become file systems in which everything is as it was, for every user; broken and hostile ones become errors.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, linkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { quietProgress } from "../lib/progress.ts";
import { archive, encodeEntry, everything, netRawCapability } from "./testdata/archive.ts";
import type { TestEntry } from "./testdata/archive.ts";
import { assertSound, debugfs, namesIn, statOf } from "./testdata/ext4.ts";
import { defaultLimits, rootfsFromTar } from "./rootfs.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-rootfs-"));
after(() => rmSync(directory, { recursive: true }));
let files = 0;
const quiet = () => quietProgress(new AbortController().signal);

async function make(tar: Buffer | readonly TestEntry[], limits = defaultLimits) {
  const image = join(directory, `${files++}.ext4`);
  const bytes = Buffer.isBuffer(tar) ? tar : archive(tar);
  return { image, ...(await rootfsFromTar(Readable.from([bytes]), image, quiet(), limits)) };
}

function fails(tar: Buffer | readonly TestEntry[], message: RegExp, limits = defaultLimits) {
  return assert.rejects(make(tar, limits), { code: "image.invalid", message });
}

describe("a file system from an archive", () => {
  test("keeps owners, modes, links, devices, attributes, times and odd names", async () => {
    const { image, tarSha256 } = await make(everything);
    assertSound(image);
    assert.equal(tarSha256, createHash("sha256").update(archive(everything)).digest("hex"));

    const sudo = statOf(image, "/usr/bin/sudo");
    assert.deepEqual([sudo.mode, sudo.type, sudo.links], ["04755", "regular", 2]);
    assert.equal(statOf(image, "/usr/bin/hard").inode, sudo.inode);
    assert.equal(debugfs(image, "cat /usr/bin/hard"), "setuid program");
    assert.match(debugfs(image, "stat /bin"), /Fast link dest: "usr\/bin"/);
    assert.equal(statOf(image, "/tmp").mode, "01777");
    assert.deepEqual(statOf(image, "/home/owner").owner, [70_000, 40_000]);
    assert.equal(statOf(image, "/home/owner/secret").mode, "0000");
    assert.deepEqual(statOf(image, "/home/huge-id").owner, [4_294_967_294, 3_000_000_000]);
    const device = statOf(image, "/dev/null");
    assert.deepEqual([device.type, device.mode, device.device], ["character special", "0666", "01:03"]);
    assert.equal(statOf(image, "/dev/disk").device, "08:300");
    assert.equal(statOf(image, "/run/pipe").type, "FIFO");
    assert.equal(debugfs(image, `cat /d/${"n".repeat(255)}`), "long name");
    assert.equal(debugfs(image, `cat ${"/deep".repeat(300)}/file`), "deep");
    assert.deepEqual(namesIn(image, "/odd").toSorted(), [".wh.kept", 'new\nline "quoted" \xff\\'].toSorted());
    assert.equal(statOf(image, "/link-long").size, 201);
    assert.equal(debugfs(image, "cat /link-long"), `/${"t".repeat(200)}`);
    assert.equal(namesIn(image, "/many").length, 400);
    assert.equal(debugfs(image, "cat /many/file-399"), "399");
    // -1.5 s is half a second after -2 s; the low bits of the second word extend the seconds beyond 2038.
    assert.equal(statOf(image, "/times/old").mtime, `0xfffffffe:${(500_000_000 * 4).toString(16)}`);
    const far = `0x${(5_000_000_000 % 2 ** 32).toString(16)}:${(123_456_789 * 4 + 1).toString(16)}`;
    assert.equal(statOf(image, "/times/far").mtime, far);
  });

  test("keeps extended attributes byte for byte", async () => {
    const { image } = await make(everything);
    const out = join(directory, "attribute");
    debugfs(image, `ea_get -f ${out} /usr/bin/ping security.capability`);
    assert.deepEqual(readFileSync(out), netRawCapability);
    debugfs(image, `ea_get -f ${out} /usr/bin/ping user.note`);
    assert.equal(readFileSync(out, "latin1"), "a=b\n");
    assert.equal(statOf(image, "/usr/bin/ping").size, 5000);
  });

  test("is the same for the same archive, whoever makes it", async () => {
    const digest = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
    const first = await make(everything);
    const second = await make(everything);
    assert.equal(digest(first.image), digest(second.image));
    if (process.getuid?.() !== 0) return;
    // The tests run as root: another user makes it once more, in a process of its own.
    const tar = join(directory, "everything.tar");
    writeFileSync(tar, archive(everything), { mode: 0o644 });
    const own = mkdtempSync(join(tmpdir(), "banger-nobody-"));
    try {
      const { status, stdout, stderr } = spawnSync(
        "setpriv",
        [
          ...["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, "--input-type=module", "-e"],
          `import { rootfsFromTar } from ${JSON.stringify(import.meta.resolve("./rootfs.ts"))};
           import { readFileSync } from "node:fs";
           import { createHash } from "node:crypto";
           import { Readable } from "node:stream";
           const progress = { signal: new AbortController().signal, stage() {}, bytes() {} };
           await rootfsFromTar(Readable.from(process.stdin), "out.ext4", progress);
           console.log(process.getuid(), createHash("sha256").update(readFileSync("out.ext4")).digest("hex"));`,
        ],
        { cwd: (spawnSync("chown", ["65534", own]), own), input: readFileSync(tar), encoding: "utf8" },
      );
      assert.equal(status, 0, stderr);
      assert.equal(stdout.trim(), `65534 ${digest(first.image)}`);
    } finally {
      rmSync(own, { recursive: true });
    }
  });

  test("the later of two entries counts, and what it replaced leaves no trace", async () => {
    const { image } = await make([
      { path: "a", data: "first".repeat(2000) },
      { path: "b", type: "1", link: "a" },
      { path: "a", data: "second" },
      { path: "dir", type: "5", mode: 0o700 },
      { path: "dir/kept", data: "kept" },
      { path: "dir", type: "5", mode: 0o755 },
      { path: "link", type: "2", link: "/dir" },
      { path: "link", type: "5" },
      { path: "self", type: "0", data: "self" },
      { path: "self", type: "1", link: "self" },
    ]);
    assertSound(image);
    assert.equal(debugfs(image, "cat /a"), "second");
    assert.equal(statOf(image, "/b").links, 1);
    assert.equal(debugfs(image, "cat /dir/kept"), "kept");
    assert.equal(statOf(image, "/dir").mode, "0755");
    assert.equal(statOf(image, "/link").type, "directory");
    assert.equal(statOf(image, "/self").links, 1);
  });

  test("many small files, and files that need more than one extent, are sound", async () => {
    const empty = Array.from({ length: 70_000 }, (_, index) => ({ path: `e/${index % 300}/${index}` }));
    const many = await make(empty);
    assertSound(many.image);
    // 600 MiB, of which 64 KiB in each MiB are no zeros: as many extents, and so blocks of extents.
    const bytes = 600 * 1024 * 1024;
    const header = encodeEntry({ path: "large", pax: { size: String(bytes) } });
    const mostlyZeros = Buffer.concat([Buffer.alloc(64 * 1024, "x")], 1024 * 1024);
    async function* stream() {
      yield header;
      for (let done = 0; done < bytes; done += mostlyZeros.length) yield mostlyZeros;
      yield encodeEntry({ path: "after", data: "after" });
      yield Buffer.alloc(1024);
    }
    const image = join(directory, "large.ext4");
    const { sizeBytes } = await rootfsFromTar(Readable.from(stream()), image, quiet());
    assertSound(image);
    assert.ok(sizeBytes < 50 * 1024 * 1024, `${sizeBytes}`);
    assert.equal(statOf(image, "/large").size, bytes);
    assert.equal(debugfs(image, "cat /after"), "after");
    assert.match(debugfs(image, "stat /large"), /\(ETB0\)/);
  });

  for (const format of ["v7", "ustar", "gnu", "pax"]) {
    test(`an archive of GNU tar in its ${format} format is unpacked as it was`, async () => {
      const source = join(directory, `source-${format}`);
      mkdirSync(join(source, "sub", "x".repeat(90)), { recursive: true });
      writeFileSync(join(source, "sub", "file"), "content\n".repeat(1000));
      linkSync(join(source, "sub", "file"), join(source, "hard"));
      symlinkSync("sub/file", join(source, "soft"));
      if (format !== "v7" && format !== "ustar") {
        const long = join(source, "sub", "x".repeat(90), "y".repeat(200));
        mkdirSync(long);
        writeFileSync(join(long, "ü".repeat(100)), "deep");
        symlinkSync("z".repeat(300), join(source, "far"));
      }
      const tar = join(directory, `${format}.tar`);
      assert.equal(spawnSync("tar", [`--format=${format}`, "-cf", tar, "-C", source, "."]).status, 0);
      const image = join(directory, `${format}.ext4`);
      await rootfsFromTar(tar, image, quiet());
      assertSound(image);
      const out = join(directory, `out-${format}`);
      mkdirSync(out);
      debugfs(image, `rdump / ${out}`);
      const compared = spawnSync("diff", ["-r", "--no-dereference", source, out], { encoding: "utf8" });
      assert.equal(compared.status, 0, compared.stdout + compared.stderr);
    });
  }
});

describe("compressed archives", () => {
  const plain = archive(everything);
  const half = plain.length >> 1;
  const compressed: Record<string, Buffer> = {
    plain,
    gzip: gzipSync(plain),
    "gzip in two members": Buffer.concat([gzipSync(plain.subarray(0, half)), gzipSync(plain.subarray(half))]),
    zstd: zstdCompressSync(plain),
    "zstd in two frames": Buffer.concat([
      zstdCompressSync(plain.subarray(0, half)),
      zstdCompressSync(plain.subarray(half)),
    ]),
    xz: spawnSync("xz", ["-c"], { input: plain }).stdout,
  };
  for (const [name, bytes] of Object.entries(compressed)) {
    test(`${name} is read, and refused when it is cut short or damaged`, async () => {
      const path = join(directory, `${name.replaceAll(" ", "-")}.tar`);
      writeFileSync(path, bytes);
      const { tarSha256 } = await rootfsFromTar(path, `${path}.ext4`, quiet());
      assert.equal(tarSha256, createHash("sha256").update(plain).digest("hex"));

      writeFileSync(path, bytes.subarray(0, (bytes.length * 2) / 3));
      const cut = { code: "image.invalid", message: /cut short|damaged/ };
      await assert.rejects(rootfsFromTar(path, `${path}.cut`, quiet()), cut);

      const broken = Buffer.from(bytes);
      broken.fill(0xa5, 700, 900);
      writeFileSync(path, broken);
      const damaged = { code: "image.invalid", message: /checksum|damaged|no tar archive/ };
      await assert.rejects(rootfsFromTar(path, `${path}.broken`, quiet()), damaged);
    });
  }
});

describe("archives that are refused", () => {
  test("what is no archive at all", async () => {
    await fails(Buffer.from("hello"), /cut short/);
    await fails(Buffer.alloc(4096, "text "), /no tar archive/);
    await fails(Buffer.alloc(0), /cut short/);
    await fails(Buffer.alloc(1024), /it is empty/);
  });

  test("every cut of an archive", async () => {
    const tar = archive(everything.slice(0, 12));
    for (let length = 0; length < tar.length - 1024; length += 256) await fails(tar.subarray(0, length), /cut short/);
  });

  test("paths and links that lead out", async () => {
    await fails([{ path: "../x" }], /leads upwards/);
    await fails([{ path: "a/../../x" }], /leads upwards/);
    await fails([{ path: "h", type: "1", link: "../../etc/passwd" }], /leads upwards/);
    await fails([{ path: "h", type: "1", link: "/etc/passwd" }], /no "\/etc\/passwd"/);
    await fails(
      [
        { path: "d", type: "5" },
        { path: "h", type: "1", link: "d" },
      ],
      /is no file/,
    );
  });

  test("links on the way are followed inside the image only", async () => {
    const { image } = await make([
      { path: "up", type: "2", link: "../../../../tmp" },
      { path: "up/x", data: "in the image" },
      { path: "abs", type: "2", link: "/var" },
      { path: "abs/y", data: "also" },
      { path: "/absolute", data: "below the root" },
    ]);
    assertSound(image);
    assert.equal(debugfs(image, "cat /tmp/x"), "in the image");
    assert.equal(debugfs(image, "cat /var/y"), "also");
    assert.equal(debugfs(image, "cat /absolute"), "below the root");
    await fails(
      [{ path: "a", type: "2", link: "b" }, { path: "b", type: "2", link: "a" }, { path: "a/x" }],
      /too many/,
    );
    const replaced = await make([{ path: "f" }, { path: "f/x" }, { path: "d/x" }, { path: "d", data: "file" }]);
    assertSound(replaced.image);
    assert.equal(statOf(replaced.image, "/f/x").type, "regular");
    assert.equal(debugfs(replaced.image, "cat /d"), "file");
  });

  test("bombs and impossible fields", async () => {
    const limits = { ...defaultLimits, maxEntries: 3, maxMetadataBytes: 1000, maxContentBytes: 1000 };
    await fails(
      Array.from({ length: 4 }, (_, index) => ({ path: String(index) })),
      /more than 3 entries/,
      limits,
    );
    await fails([{ path: "a/b/c" }, { path: "d" }], /more than 3 entries/, limits);
    await fails([{ path: "n", type: "2", pax: { linkpath: "t".repeat(1000) } }], /names and attributes/, limits);
    const attribute = { "SCHILY.xattr.user.big": "v".repeat(1_000_000) };
    // Refused where it stands: thousands of them, well compressed, would fill the memory before the end is seen.
    await fails(
      [
        { path: "x", pax: attribute },
        { path: "y", type: "Z" },
      ],
      /do not fit/,
    );
    await fails([{ path: "big", data: "x".repeat(1001) }], /larger than 1000 bytes/, limits);
    await fails([{ path: "big", pax: { size: "999999999999999999" } }], /impossible size/);
    await fails([{ path: "n", pax: { path: "n".repeat(256) } }], /longer than 255/);
    await fails([{ path: "n", pax: { path: "n/".repeat(2100) } }], /longer than 4095/);
    await fails([{ path: "n", pax: { path: "a\0b" } }], /zero byte/);
    await fails([{ path: "x", pax: { "SCHILY.xattr.user.big": "v".repeat(4096) } }], /do not fit/);
    await fails([{ path: "x", pax: { uid: "-1" } }], /impossible owner/);
    await fails([{ path: "x", type: "Z" }], /unknown type/);
    await fails([{ path: "x", type: "x", data: "nonsense" }, { path: "y" }], /pax record/);
    await fails([{ path: "x", type: "L", data: Buffer.alloc(1024 * 1024 + 1) }, { path: "y" }], /too long/);
  });

  test("a cancelled read ends with the reason", async () => {
    const abort = new AbortController();
    const stream = new Readable({ read() {} });
    stream.push(archive(everything).subarray(0, 2000));
    const image = join(directory, "cancelled.ext4");
    const done = rootfsFromTar(stream, image, quietProgress(abort.signal));
    abort.abort(new Error("enough"));
    await assert.rejects(done, { message: "enough" });
    assert.ok(stream.destroyed);
  });
});
