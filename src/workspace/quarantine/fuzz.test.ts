// Random names, lists and answers of a guest: what passes is harmless, and nothing else than a refusal comes of the rest.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { fuzz, pick, type Random } from "../../lib/testdata/fuzz.ts";
import { GuestAnswer } from "../export/guest-header.ts";
import { parseStats } from "../export/stat.ts";
import { parseLook } from "../toolchain/guest-tools.ts";
import { parseChanges } from "./changes.ts";
import { whyUnsafe } from "./safe-path.ts";

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-fuzz-"));
  execFileSync("git", ["init", "-q", directory]);
});
after(() => rmSync(directory, { recursive: true }));

const pieces = [
  ".git",
  ".GIT",
  "git~1",
  ".",
  "..",
  "/",
  "\\",
  "\u200c",
  "\u202e",
  "\ufeff",
  " ",
  ":",
  "$INDEX",
  "a",
  "~",
  "\xe9",
  "\n",
];
const name = (random: Random) => Array.from({ length: 1 + random(5) }, () => pick(random, pieces)).join("");

fuzz("names that pass are taken by git at its strictest, too", 40, (random) => {
  const paths = Array.from({ length: 50 }, () => Buffer.from(name(random), random(4) === 0 ? "latin1" : "utf8"));
  const lines = paths
    .filter((path) => !path.includes(0) && whyUnsafe(path) === undefined)
    .flatMap((path) => [Buffer.from(`100644 ${"1".repeat(40)}\t`), path, Buffer.from([0])]);
  const strict = ["-c", "core.protectHFS=true", "-c", "core.protectNTFS=true"];
  const git = spawnSync("git", ["-C", directory, ...strict, "update-index", "-z", "--index-info"], {
    input: Buffer.concat(lines),
  });
  assert.deepEqual([git.status, String(git.stderr)], [0, ""]);
});

const id = "a".repeat(40);
const line = (random: Random) =>
  `:${pick(random, ["000000", "100644", "100755", "120000", "160000", "040000", "1"])} ${pick(random, ["000000", "100644", "120000"])} ${id} ${id} ${pick(random, ["A", "M", "D", "T", "R100", "X"])}\0${name(random)}\0`;

fuzz("lists of differences", 1500, (random) => {
  const text = Buffer.from(Array.from({ length: random(4) }, () => line(random)).join(""));
  if (random(3) === 0 && text.length > 0) text[random(text.length)] = random(256);
  try {
    parseLook(text.toString("latin1"));
    for (const { path } of parseChanges(text)) assert.equal(whyUnsafe(path), undefined);
    parseStats(text);
  } catch (error) {
    assert.ok(error instanceof BangerError && /^workspace\.(?:refused|failed)$/.test(error.code), String(error));
  }
});

const head = `banger-export 1\nhead ${id}\nbase \ntree ${id}\nbranch main\n\n`;

fuzz("answers in pieces: the head is read or refused, and what follows passes as it is", 800, async (random) => {
  const body = Buffer.from(Array.from({ length: random(200) }, () => random(256)));
  const bytes = Buffer.concat([Buffer.from(head), body]);
  const damaged = random(2) === 0;
  if (damaged) bytes[random(bytes.length)] = random(256);
  const answer = new GuestAnswer(10_000);
  const got: Buffer[] = [];
  answer.on("data", (chunk: Buffer) => got.push(chunk)).on("error", () => {});
  const ended = new Promise<void>((resolve) => void answer.on("close", resolve));
  for (let at = 0; at < bytes.length;) {
    const size = 1 + random(60);
    answer.write(bytes.subarray(at, at + size));
    at += size;
  }
  answer.end();
  await ended;
  const outcome = await answer.header.catch((error: unknown) => error);
  if (outcome instanceof Error) {
    assert.ok(damaged && outcome instanceof BangerError && outcome.code === "workspace.refused", String(outcome));
  } else if (!damaged) assert.deepEqual(Buffer.concat(got), body);
});
