// Random images, mounted by the kernel, hold what their layers say: contents, owners, modes, times, links, devices, attributes.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after } from "node:test";
import { buildRootfs } from "../../src/image/layer/build.ts";
import { defaultLimits } from "../../src/image/layer/limits.ts";
import { archive } from "../../src/image/testdata/archive.ts";
import type { TestEntry } from "../../src/image/testdata/archive.ts";
import { assertSound } from "../../src/image/testdata/ext4.ts";
import { quietProgress } from "../../src/lib/progress.ts";
import { fuzz, pick } from "../../src/lib/testdata/fuzz.ts";
import type { Random } from "../../src/lib/testdata/fuzz.ts";
import { attributesOf, factsOf, withMounted } from "../support/mounted.ts";
import type { Facts } from "../support/mounted.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-image-fuzz-"));
after(() => rmSync(directory, { recursive: true }));

const typeBits = { "0": 0o100000, "5": 0o040000, "2": 0o120000, "6": 0o010000, "3": 0o020000, "4": 0o060000 } as const;
type Type = keyof typeof typeBits;

const oddNames = ["a", "B", "x\ny", "\xff\xfe", "back\\slash", " ", "\u001b", "lost", "é"];

function nameOf(random: Random, number: number): string {
  const name = `${pick(random, oddNames)}${number}`;
  return random(12) === 0 ? name.padEnd(1 + random(254), "n") : name;
}

function contentOf(random: Random): Buffer {
  const length = pick(random, [0, 1, 59, 60, 4095, 4096, 4097, 65_535, 65_536, random(400_000)]);
  const content = Buffer.alloc(length, pick(random, [0, "x"]));
  const changes = length === 0 ? 0 : random(4);
  for (let change = 0; change < changes; change++) content[random(length)] = random(256);
  return content;
}

/** An entry at a path of its own, and what is to be seen of it. */
function randomEntry(random: Random, path: string): { entry: TestEntry; facts: Facts; attributes: string | undefined } {
  const type: Type = pick(random, ["0", "0", "0", "0", "5", "2", "6", "3", "4"] as const);
  const seconds = pick(random, [0, 1, 1_700_000_000, 2 ** 31 + random(2 ** 20), -random(2 ** 31), random(2 ** 31)]);
  const nanoseconds = random(3) === 0 ? 0 : random(1_000_000_000);
  const [mode, uid, gid] = [type === "2" ? 0o777 : random(0o10000), random(2 ** 32 - 2), random(70_000)];
  const [major, minor] = [random(4096), random(2) === 0 ? random(256) : random(2 ** 20)];
  const target = pick(random, [
    "x",
    "/",
    "../".repeat(30),
    "t".repeat(59),
    "t".repeat(60),
    "t".repeat(1 + random(4000)),
  ]);
  const data = type === "0" ? contentOf(random) : "";
  const isBelow = seconds < 0 && nanoseconds > 0;
  const text = isBelow
    ? `${seconds + 1 === 0 ? "-0" : seconds + 1}.${String(1_000_000_000 - nanoseconds).padStart(9, "0")}`
    : `${seconds}.${String(nanoseconds).padStart(9, "0")}`;
  const pax: Record<string, string | Buffer> = {
    path: Buffer.from(path, "latin1"),
    linkpath: type === "2" ? target : "",
    uid: String(uid),
    gid: String(gid),
    mtime: text,
  };
  // Attributes of users are for files and directories only.
  const value = Buffer.from(Array.from({ length: random(200) }, () => random(256)));
  const hasAttribute = (type === "0" || type === "5") && random(4) === 0;
  if (hasAttribute) pax["SCHILY.xattr.user.fuzz"] = value;
  const time = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
  const bits = (typeBits[type] | mode).toString(8);
  // The kernel's numbers as the C library shows them.
  const number = (BigInt(major & 0xfff) << 8n) | BigInt(minor & 0xff) | (BigInt(minor & 0xfff00) << 12n);
  const device = type === "3" || type === "4" ? ` device ${number}` : "";
  const what =
    type === "0" ? data.toString("latin1") : type === "2" ? `-> ${target}` : type === "5" ? "directory" : "other";
  return {
    entry: { path: "x", type, mode, data, major, minor, pax },
    facts: { what, more: `${bits} ${uid}:${gid} ${time}${type === "5" ? "" : ` = ${path}`}${device}` },
    attributes: hasAttribute ? value.toString("hex") : undefined,
  };
}

/** Facts that can be compared and shown: contents as digests. */
const short = (facts: ReadonlyMap<string, Facts>) =>
  [...facts]
    .map(([path, { what, more }]) => {
      const shown = what.length > 100 ? `${what.length} ${createHash("sha256").update(what).digest("hex")}` : what;
      return `${JSON.stringify(path)} ${JSON.stringify(shown)} ${more}`;
    })
    .toSorted();

fuzz("images, as the kernel shows them", 4, async (random) => {
  const own = mkdtempSync(join(directory, "image-"));
  const wanted = new Map<string, Facts>([["", { what: "directory", more: "40755 0:0 0" }]]);
  const values: string[] = [];
  const parents = [""];
  const layers: TestEntry[][] = [];
  let number = 0;
  for (let layer = 1 + random(3); layer > 0; layer--) {
    const entries: TestEntry[] = [];
    // Now and then so many in one directory that it needs an index.
    const isLarge = random(6) === 0;
    for (let count = isLarge ? 1000 + random(3000) : random(150); count > 0; count--) {
      const parent = isLarge ? "" : pick(random, parents);
      const path = `${parent}${parent === "" ? "" : "/"}${nameOf(random, number++)}`;
      if (path.length > 3000) continue;
      const made = isLarge ? randomEntry(() => 0, path) : randomEntry(random, path);
      entries.push(made.entry);
      wanted.set(path, made.facts);
      if (made.attributes !== undefined) values.push(`user.fuzz=0x${made.attributes}`);
      if (made.entry.type === "5") parents.push(path);
    }
    layers.push(entries);
  }
  const sources = layers.map((entries, index) => ({
    label: `L${index}`,
    diffId: undefined,
    open: async () => Readable.from([archive(entries)]),
  }));
  const target = join(own, "rootfs.ext4");
  const options = { layers: sources, target, kind: "layers", limits: defaultLimits } as const;
  await buildRootfs(options, quietProgress(new AbortController().signal));
  assertSound(target);
  const mounted = join(own, "mounted");
  withMounted(target, mounted, () => {
    const found = factsOf(mounted);
    found.delete("lost+found");
    assert.deepEqual(short(found), short(wanted));
    const seen = attributesOf(mounted).match(/user\.fuzz(=0x[0-9a-f]*)?/g) ?? [];
    assert.deepEqual(seen.map((one) => (one.includes("=") ? one : `${one}=0x`)).toSorted(), values.toSorted());
  });
  rmSync(own, { recursive: true });
});
