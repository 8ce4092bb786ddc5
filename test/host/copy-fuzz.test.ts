// Random tars of a guest, copied out of it: nothing is written outside of the destination, and what arrives is harmless.
import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after } from "node:test";
import { copyFromGuest } from "../../src/cli/copy/from-guest.ts";
import { archive, type TestEntry } from "../../src/image/testdata/archive.ts";
import { BangerError } from "../../src/lib/errors.ts";
import { fuzz, pick } from "../../src/lib/testdata/fuzz.ts";
import type { Random } from "../../src/lib/testdata/fuzz.ts";
import type { Client } from "../../src/sdk/client.ts";

const root = mkdtempSync(join(tmpdir(), "banger-fuzz-copy-"));
after(() => rmSync(root, { recursive: true }));
const never = new AbortController().signal;
const secret = "nobody may write here";

/** Where a copy may not get to: beside, above, and behind links that stand in the destination. */
function makeHost(directory: string): { target: string; outside: string } {
  const [target, outside] = [join(directory, "target"), join(directory, "outside")];
  for (const each of [target, outside]) mkdirSync(each, { recursive: true });
  writeFileSync(join(outside, "file"), secret);
  writeFileSync(join(target, "mine"), "mine");
  mkdirSync(join(target, "data"));
  symlinkSync(outside, join(target, "data/link"));
  symlinkSync(join(outside, "file"), join(target, "data/file"));
  return { target, outside };
}

function names(outside: string): string[] {
  return [
    "data",
    "data/",
    "data/a",
    "data/b/c",
    "data/link",
    "data/link/file",
    "data/file",
    "data/../mine",
    "../outside/file",
    "data/../../outside/file",
    outside,
    join(outside, "new"),
    "./data/./a",
    "data//b",
    "data/\u001b[2J",
    "other",
    "",
    ".",
    "..",
    `data/${"x".repeat(90)}`,
  ];
}

function entry(random: Random, outside: string): TestEntry {
  const name = () => pick(random, names(outside));
  const type = pick(random, [
    "0",
    "0",
    "0",
    "1",
    "2",
    "2",
    "3",
    "4",
    "5",
    "5",
    "6",
    "L",
    "K",
    "x",
    "g",
    "S",
    "Z",
  ] as const);
  return {
    path: name(),
    type,
    mode: pick(random, [0, 0o644, 0o755, 0o4755, 0o6777, 0o1777]),
    uid: random(3) * 1000,
    ...(["1", "2"].includes(type) ? { link: name() } : {}),
    ...(["0", "L", "K"].includes(type) ? { data: type === "0" ? "hello" : name() } : {}),
    ...(random(8) === 0
      ? { pax: { [pick(random, ["path", "linkpath", "size"])]: pick(random, [name(), "99999999", "-1"]) } }
      : {}),
    ...(type === "3" || type === "4" ? { major: 1, minor: 3 } : {}),
  };
}

function tarOf(random: Random, outside: string): Buffer {
  const first: TestEntry = { path: random(8) === 0 ? "else" : "data", type: "5", mode: 0o755 };
  const bytes = archive([first, ...Array.from({ length: random(5) }, () => entry(random, outside))]);
  if (random(8) > 0) return bytes;
  if (random(2) === 0) return bytes.subarray(0, random(bytes.length));
  bytes[random(bytes.length)] = random(256);
  return bytes;
}

/** A daemon with one VM, whose guest sends this. */
function clientOf(tar: Buffer): Client {
  const fake = {
    call: async () => ({ file: { directory: true } }),
    download: async () => Readable.from([tar.subarray(0, 700), tar.subarray(700)]),
  };
  return fake as unknown as Client;
}

function assertHarmless(path: string): void {
  for (const name of readdirSync(path)) {
    const inner = join(path, name);
    const info = lstatSync(inner);
    assert.ok(info.isFile() || info.isDirectory() || info.isSymbolicLink(), `${inner} is a special file`);
    if (!info.isSymbolicLink()) assert.equal(info.mode & 0o7000, 0, `${inner} has mode ${info.mode.toString(8)}`);
    if (info.isDirectory()) assertHarmless(inner);
  }
}

fuzz("tars out of a guest", 40, async (random, seed) => {
  const directory = join(root, String(seed));
  const { target, outside } = makeHost(directory);
  const destination = { kind: "host" as const, path: "target", contents: false, intoDirectory: false, cwd: directory };
  const source = { kind: "guest" as const, vm: "vm", path: "/data", contents: false, intoDirectory: false };
  await copyFromGuest(clientOf(tarOf(random, outside)), source, destination, never).catch((error: unknown) => {
    const code = (error as NodeJS.ErrnoException).code;
    assert.ok(error instanceof BangerError || code !== undefined, String(error));
  });
  assert.deepEqual(readdirSync(directory).toSorted(), ["outside", "target"], "something lies beside the destination");
  assert.deepEqual(readdirSync(outside), ["file"]);
  assert.equal(readFileSync(join(outside, "file"), "utf8"), secret);
  assert.equal(readFileSync(join(target, "mine"), "utf8"), "mine");
  assert.ok(!readdirSync(target).some((name) => !["data", "mine"].includes(name)), readdirSync(target).join(" "));
  assertHarmless(target);
  assert.ok(existsSync(join(target, "data")));
  rmSync(directory, { recursive: true });
});
