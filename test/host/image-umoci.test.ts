// An image that banger writes, mounted by the kernel, equals what umoci unpacks as root, entry by entry.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { rootfsFromLayers } from "../../src/image/rootfs.ts";
import { archive, everything, netRawCapability } from "../../src/image/testdata/archive.ts";
import type { TestEntry } from "../../src/image/testdata/archive.ts";
import { assertSound } from "../../src/image/testdata/ext4.ts";
import { quietProgress } from "../../src/lib/progress.ts";
import { differences, factsOfImage, factsOfTree } from "../support/image-facts.ts";
import { unpackWithUmoci } from "../support/umoci.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-umoci-"));
after(() => rmSync(directory, { recursive: true }));

function sh(file: string, args: readonly string[], cwd = directory): Buffer {
  const ran = spawnSync(file, args, { cwd, maxBuffer: 1024 ** 3, env: { PATH: process.env["PATH"], LC_ALL: "C" } });
  assert.equal(ran.error, undefined);
  assert.equal(ran.status, 0, `${file} ${args.join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout;
}

async function compare(name: string, layers: readonly Buffer[]): Promise<void> {
  const { root, said } = unpackWithUmoci(join(directory, name), layers);
  assert.ok(root !== undefined, said);
  const wanted = factsOfTree(root);
  const image = join(directory, `${name}.ext4`);
  const mediaType = "application/vnd.oci.image.layer.v1.tar+gzip";
  const sources = layers.map((bytes, index) => {
    const path = join(directory, `${name}-${index}.tgz`);
    writeFileSync(path, gzipSync(bytes, { level: 1 }));
    const diffId = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    return { label: String(index), diffId, mediaType, open: async () => createReadStream(path) };
  });
  await rootfsFromLayers(sources, image, quietProgress(new AbortController().signal));
  assertSound(image);
  const mounted = join(directory, `${name}-mounted`);
  mkdirSync(mounted);
  const found = factsOfImage(image, mounted);
  assert.deepEqual(differences(found, wanted), []);
  assert.equal(found.length, wanted.length);
}

const acl = Buffer.from(
  "0200000001000600ffffffff02000700e803000004000400ffffffff10000700ffffffff20000400ffffffff",
  "hex",
);
const defaultAcl = { "SCHILY.xattr.system.posix_acl_default": acl };

test("hand-made layers with one of everything, deletions and links across layers", async () => {
  const base: TestEntry[] = [
    // A link's time is not kept by the host's tools in all cases, and umoci has no name for the rest.
    ...everything.filter(({ path }) => !["./odd/.wh.kept", "./home/huge-id"].includes(path)),
    { path: "./acl", data: "a", mode: 0o674, pax: { "SCHILY.xattr.system.posix_acl_access": acl } },
    { path: "./acl-dir/", type: "5", mode: 0o755, pax: defaultAcl },
    {
      path: "./cap-and-more",
      data: "b",
      pax: { "SCHILY.xattr.user.a": "1", "SCHILY.xattr.user.big": "v".repeat(3000) },
    },
    { path: "./v3", pax: { "SCHILY.xattr.security.capability": netRawCapability }, data: "v" },
    { path: "./lower/", type: "5", mode: 0o711, mtime: 1_600_000_000 },
    { path: "./lower/a", data: "a".repeat(100_000), mtime: 1_600_000_001 },
    { path: "./lower/b", data: "b" },
    { path: "./gone/", type: "5" },
    { path: "./gone/x", data: "x" },
    { path: "./opaque/", type: "5", mode: 0o755 },
    { path: "./opaque/old", data: "old" },
    { path: "./to-dir", data: "file" },
    { path: "./to-file/", type: "5", mode: 0o755 },
    { path: "./to-file/inner", data: "inner" },
    { path: "./zeros", data: Buffer.concat([Buffer.alloc(300_000), Buffer.from("x"), Buffer.alloc(300_000)]) },
  ];
  const upper: TestEntry[] = [
    { path: "./", type: "5", mode: 0o755 },
    { path: "./lower/c", type: "1", link: "./lower/a" },
    { path: "./lower/", type: "5", mode: 0o700, mtime: 1_650_000_000 },
    { path: "./.wh.gone", data: "" },
    { path: "./opaque/", type: "5", mode: 0o755 },
    { path: "./opaque/.wh..wh..opq", data: "" },
    { path: "./opaque/new", data: "new" },
    { path: "./bin/added", data: "through a link", mode: 0o755 },
    { path: "./usr/bin/", type: "5", mode: 0o755 },
    { path: "./to-dir/", type: "5", mode: 0o755 },
    { path: "./to-dir/x", data: "x" },
    { path: "./to-dir/", type: "5", mode: 0o755 },
    { path: "./to-file", data: "file" },
    { path: "./many/", type: "5", mode: 0o755 },
    { path: "./many/.wh.file-7", data: "" },
    { path: "./many/", type: "5", mode: 0o755 },
    { path: "./", type: "5", mode: 0o755 },
  ];
  await compare("hand-made", [archive(base), archive(upper)]);
});

test("a part of this host, changed in a second layer", async () => {
  const tree = join(directory, "tree");
  mkdirSync(tree);
  const first = join(directory, "first.tar");
  const parts = ["etc", "usr/lib/udev", "usr/share/perl5", "usr/share/zoneinfo"];
  const tar = ["--xattrs", "--acls", "--numeric-owner", "--format=pax", "--warning=no-file-ignored"];
  sh("tar", [...tar, "--ignore-failed-read", "-cf", first, "-C", "/", ...parts]);
  sh("tar", ["-xf", first, "-C", tree]);
  sh("rm", ["-r", "usr/share/zoneinfo/Europe", "etc/passwd"], tree);
  writeFileSync(join(tree, "etc/hostname"), "changed\n");
  mkdirSync(join(tree, "opt/new/deep"), { recursive: true });
  sh("truncate", ["-s", "3M", "opt/new/sparse"], tree);
  const second = join(directory, "second.tar");
  writeFileSync(join(tree, "etc/.wh.passwd"), "");
  writeFileSync(join(tree, "usr/share/zoneinfo/.wh.Europe"), "");
  const changed = ["etc/hostname", "etc/.wh.passwd", "usr/share/zoneinfo/.wh.Europe", "opt"];
  sh("tar", [...tar, "-cf", second, "-C", tree, "--no-recursion", "etc", ...changed.slice(0, 3), "--recursion", "opt"]);
  await compare("host", [readFileSync(first), readFileSync(second)]);
});
