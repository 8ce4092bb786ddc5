// A real image of a gigabyte in eight layers, pulled from a real registry: its disk, as the kernel and debugfs read it, is what umoci
// unpacks as root; and the same bytes each time, however the layers are packed.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, lstatSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { after, before, describe, test } from "node:test";
import { assertSound, debugfs, statOf } from "../../src/image/testdata/ext4.ts";
import { type RealRegistry, startRegistry } from "../../src/registry/testdata/docker-registry.ts";
import { Home } from "../support/home.ts";
import { differences, factsOfImage, factsOfTree } from "../support/image-facts.ts";
import { imageNames, imageStore, type Packing } from "../support/image-fixture.ts";

const sampleSize = 150;

describe("a large image", { concurrency: false }, () => {
  let directory: string;
  let registry: RealRegistry;
  let home: Home;
  /** What umoci made of it. */
  let tree: string;
  /** Of the first disk. */
  let first: string;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-large-"));
    registry = await startRegistry({ store: await imageStore() });
    home = new Home({ seeded: false });
    const [layout, bundle] = [join(directory, "layout"), join(directory, "bundle")];
    const from = `docker://${registry.host}/${imageNames.large("gzip")}`;
    execFileSync("skopeo", ["copy", "--quiet", "--src-tls-verify=false", from, `oci:${layout}:x`]);
    execFileSync("umoci", ["unpack", "--image", `${layout}:x`, bundle], { stdio: "pipe" });
    rmSync(layout, { recursive: true });
    tree = join(bundle, "rootfs");
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  /** Path of the disk of a new image, of which nothing was there before. */
  async function pull(packing: Packing): Promise<string> {
    const name = `${registry.host}/${imageNames.large(packing)}`;
    await home.ok(["image", "pull", name]);
    return (await home.json<{ rootfsPath: string }>(["image", "show", name])).rootfsPath;
  }
  async function forget(packing: Packing): Promise<void> {
    await home.ok(["image", "delete", `${registry.host}/${imageNames.large(packing)}`]);
    await home.ok(["image", "cache", "prune"]);
  }

  test("is what umoci makes of it, for the kernel and for debugfs", async () => {
    const disk = await pull("gzip");
    first = await digestOf(disk);
    assertSound(disk);
    const empty = join(directory, "empty");
    mkdirSync(empty);
    const wanted = factsOfTree(tree);
    assert.ok(wanted.length > 50_000, `only ${wanted.length} facts`);
    const found = factsOfImage(disk, empty);
    assert.deepEqual(differences(found, wanted), []);
    assert.equal(found.length, wanted.length);

    const sampled = sample();
    for (const path of sampled) assert.deepEqual(asDebugfs(disk, path), asUmoci(join(tree, path)), path);
    const attributes = sampled.flatMap((path) => Object.keys(asUmoci(join(tree, path)).attributes));
    for (const name of ["security.capability", "user.note", "user.large"]) assert.ok(attributes.includes(name), name);
    await forget("gzip");
  });

  test("has the same bytes in another build, and with zstd and no compression", async () => {
    for (const packing of ["gzip", "zstd", "plain"] as const) {
      assert.equal(await digestOf(await pull(packing)), first, packing);
      await forget(packing);
    }
  });

  /** Some paths from everywhere, and all that have attributes. debugfs has no way to say each name. */
  function sample(): string[] {
    const expression = ["-regextype", "egrep", "-regex", "[A-Za-z0-9_./+@:-]{3,200}", "-printf", String.raw`%p\n`];
    const all = output("find", ".", ...expression)
      .trim()
      .split("\n")
      .toSorted();
    const withAttributes = [...output("getfattr", "-R", "-P", "-h", "-m", "-", ".").matchAll(/^# file: (.*)$/gm)];
    const named = new Set(withAttributes.map(([, path = ""]) => `./${path}`));
    const step = Math.ceil(all.length / sampleSize);
    return all.filter((path, index) => index % step === 0 || named.has(path));
  }

  function output(file: string, ...args: string[]): string {
    return execFileSync(file, args, { cwd: tree, maxBuffer: 1 << 28 }).toString("latin1");
  }

  /** debugfs shows the numbers of access control lists in its own way: that the kernel shows them right was seen above. */
  const isList = (name: string) => name.startsWith("system.posix_acl_");

  function asUmoci(path: string) {
    const info = lstatSync(path, { bigint: true });
    const isLink = info.isSymbolicLink();
    const ran = spawnSync("getfattr", ["-h", "-m", "-", "--absolute-names", path], { encoding: "latin1" });
    const names = ran.stdout.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const value = (name: string) =>
      execFileSync("getfattr", ["-h", "--only-values", "--absolute-names", "-n", name, path]).toString("hex");
    return {
      mode: Number(info.mode & 0o7777n),
      owner: [Number(info.uid), Number(info.gid)],
      links: Number(info.nlink),
      mtime: info.mtimeNs,
      size: info.isDirectory() ? undefined : Number(info.size),
      target: isLink ? readlinkSync(path) : undefined,
      content: info.isFile() ? sha256(readFileSync(path)) : undefined,
      attributes: Object.fromEntries(names.map((name) => [name, isList(name) ? "" : value(name)])),
    };
  }

  function asDebugfs(disk: string, path: string): ReturnType<typeof asUmoci> {
    const { text, type, mode, owner, links, size, mtime = "" } = statOf(disk, path);
    const [seconds = 0, more = 0] = mtime.split(":").map(Number);
    const nanoseconds = (BigInt(seconds) + (BigInt(more & 3) << 32n)) * 1_000_000_000n + BigInt(more >>> 2);
    const file = join(directory, "dumped");
    const dumped = (request: string) => {
      debugfs(disk, request);
      return readFileSync(file);
    };
    const names = [...debugfs(disk, `ea_list "${path}"`).matchAll(/^ {2}(\S+) \(\d+\)/gm)].map(([, name = ""]) => name);
    return {
      mode: Number.parseInt(mode ?? "", 8),
      owner,
      links,
      mtime: nanoseconds,
      size: type === "directory" ? undefined : size,
      target:
        type === "symlink"
          ? (/^Fast link dest: "(.*)"$/m.exec(text)?.[1] ?? debugfs(disk, `cat "${path}"`))
          : undefined,
      content: type === "regular" ? sha256(dumped(`dump "${path}" ${file}`)) : undefined,
      attributes: Object.fromEntries(
        names.map((name) => [name, isList(name) ? "" : dumped(`ea_get -f ${file} "${path}" ${name}`).toString("hex")]),
      ),
    };
  }
});

async function digestOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
