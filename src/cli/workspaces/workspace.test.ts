// "vm workspace export" and "diff": which flags go together, what is asked of the daemon, and that nothing of a guest reaches a
// terminal raw.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { type FakeOptions, runFake } from "../testing/run-fake.ts";

const evil = "\u001b[31mred\u009b\u202e";
const found = {
  id: "e1",
  vm: { id: "id-box", name: "box" },
  against: null,
  root: "/r",
  headCommit: "1".repeat(40),
  branch: "main",
  commits: 2,
  files: [
    { path: "src/a", from: null, kind: "changed", added: 3, removed: 1 },
    { path: `new${evil}`, from: null, kind: "added", added: null, removed: null },
    { path: "to", from: "of", kind: "renamed", added: 0, removed: 0 },
  ],
  fileCount: 3,
  added: 3,
  removed: 1,
  submodules: [],
  notes: [`"x${evil}" is a link out of the repository`],
};
const diff = `diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new ${evil}\n context\n`;
const applied = { changed: 3, unchanged: 0, conflicts: [], branch: null, commit: null, commits: 0 };
const replies = {
  "workspace.export": () => found,
  "workspace.forget": () => ({}),
  "workspace.read": () => Readable.from([Buffer.from(diff)]),
  "workspace.apply": () => applied,
};
const run = (words: string[], options: FakeOptions = {}) =>
  runFake(["vm", "workspace", ...words], { ...options, replies: { ...replies, ...options.replies } });
const asked = (ran: Awaited<ReturnType<typeof run>>, name: string) =>
  ran.calls.filter((call) => call.name === name).map(({ params }) => params);
const safe = (text: string) => !/[\u0080-\u009f\u202e]|\u001b(?!\[\d*[mK])/.test(text);

describe("vm workspace export", () => {
  test("a patch on stdout, byte for byte, and let go of afterwards", async () => {
    const ran = await run(["export", "box", "--base-commit", "HEAD", "--max-size", "2M"]);
    assert.deepEqual([ran.code, ran.stdout], [0, diff]);
    assert.deepEqual(asked(ran, "workspace.export"), [{ vm: "box", baseCommit: "HEAD", maxBytes: 2 * 1024 * 1024 }]);
    assert.deepEqual(asked(ran, "workspace.read"), [{ export: "e1", format: "patch" }]);
    assert.deepEqual(asked(ran, "workspace.forget"), [{ export: "e1" }]);
    assert.match(ran.stderr, /is a link out of the repository/);
    const shown = await run(["export", "box"], { terminal: true });
    assert.ok(safe(shown.stdout) && shown.stdout.includes("\\x1b[31mred\\u009b\\u202e"), shown.stdout);
  });

  test("a file is replaced whole or not at all", async () => {
    const directory = mkdtempSync(join(tmpdir(), "banger-cli-export-"));
    try {
      const file = join(directory, "box.patch");
      const ran = await run(["export", "box", "-o", file]);
      assert.deepEqual([ran.code, ran.stdout, readFileSync(file, "utf8")], [0, "", diff]);
      assert.match(
        ran.stderr,
        /^ M {2}\+3 -1 +src\/a\n A {2}binary +new\\x1b.*\n R +of -> to\n3 files changed, \+3 -1, 2 commits/m,
      );
      const bundled = await run(["export", "box", "--format", "bundle", "-o", join(directory, "b")]);
      assert.match(bundled.stderr, /^next: git fetch b main:from-box$/m);
      rmSync(join(directory, "b"));
      const nowhere = await run(["export", "box", "-o", join(directory, "none/x")]);
      assert.match(nowhere.stderr, /there is no directory ".*none"[^]*hint: mkdir -p .*none/);
      const broken = await run(["export", "box", "-o", file], {
        replies: {
          "workspace.read": () =>
            Readable.from(
              (async function* () {
                yield Buffer.from("half");
                throw new BangerError("workspace.failed", "cut");
              })(),
            ),
        },
      });
      assert.equal(broken.code, 1);
      assert.deepEqual([readdirSync(directory), readFileSync(file, "utf8")], [["box.patch"], diff]);
      assert.match((await run(["export", "box", "-o", join(directory, "no/such")])).stderr, /file\.failed/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("--apply: shown, asked on a terminal, applied; a branch has a name", async () => {
    const ran = await run(["export", "box", "--apply"]);
    assert.deepEqual(asked(ran, "workspace.apply"), [{ export: "e1", check: false }]);
    assert.match(ran.stderr, /src\/a[^]*is a link out[^]*3 files changed in \/r, not committed/);
    const no = await run(["export", "box", "--apply"], { terminal: true, stdin: "n\r" });
    assert.deepEqual(asked(no, "workspace.apply"), [{ export: "e1", check: true }]);
    assert.ok(safe(no.stderr) && no.stderr.includes("nothing was applied"), no.stderr);
    const yes = await run(["export", "box", "--apply"], { terminal: true, stdin: "y\r" });
    assert.deepEqual(
      asked(yes, "workspace.apply").map(({ check }) => check),
      [true, false],
    );
    const branch = await run(["export", "box", "--format", "branch"]);
    assert.deepEqual(asked(branch, "workspace.apply"), [{ export: "e1", branch: "banger/box", check: false }]);
    assert.equal(branch.stdout, "banger/box\n");
  });

  test("--check: what does not fit is an error, and nothing is applied", async () => {
    const conflicts = [{ path: `a${evil}`, why: "both sides changed the same lines" }];
    const ran = await run(["export", "box", "--apply", "--check"], {
      replies: { "workspace.apply": () => ({ ...applied, conflicts }) },
    });
    assert.equal(ran.code, 1);
    assert.ok(safe(ran.stderr) && /same lines \(workspace\.conflict\)/.test(ran.stderr), ran.stderr);
    assert.deepEqual(asked(ran, "workspace.apply"), [{ export: "e1", check: true }]);
    const fits = await run(["export", "box", "--apply", "--check", "--json"]);
    assert.deepEqual((JSON.parse(fits.stdout) as { applied: unknown }).applied, applied);
  });

  test("nothing changed is told, and is no error", async () => {
    const none = { "workspace.export": () => ({ ...found, files: [], fileCount: 0, commits: 0, notes: [] }) };
    const ran = await run(["export", "box", "--apply"], { replies: none });
    assert.deepEqual([ran.code, asked(ran, "workspace.apply")], [0, []]);
    assert.match(ran.stderr, /nothing changed since it was prepared/);
  });

  test("flags that make no sense together", async () => {
    for (const words of [
      ["--check"],
      ["--yes"],
      ["--branch", "x"],
      ["--apply", "-o", "x"],
      ["--apply", "--format", "bundle"],
      ["--format", "zip"],
    ]) {
      const ran = await run(["export", "box", ...words]);
      assert.deepEqual([ran.code, ran.calls], [2, []], words.join(" "));
    }
    assert.equal((await run(["export", "box", "--format", "bundle"], { terminal: true })).code, 2);
  });
});

describe("vm workspace diff", () => {
  test("colours and escapes on a terminal, bytes through a pipe", async () => {
    assert.equal((await run(["diff", "box"])).stdout, diff);
    const shown = await run(["diff", "box"], { terminal: true });
    assert.ok(safe(shown.stdout), JSON.stringify(shown.stdout));
    assert.match(
      shown.stdout,
      /\u001b\[31m-old\u001b\[39m\n\u001b\[32m\+new \\x1b\[31mred\\u009b\\u202e\u001b\[39m\n context\n$/,
    );
    assert.match(shown.stdout, /\u001b\[1m--- a\/x\u001b\[22m/);
    const plain = await run(["diff", "box"], { terminal: true, env: { NO_COLOR: "1" } });
    assert.ok(!plain.stdout.includes("\u001b") && plain.stdout.includes("+new \\x1b[31m"));
  });

  test("two VMs: how the second differs from the first", async () => {
    const ran = await run(["diff", "a", "b"]);
    assert.deepEqual(asked(ran, "workspace.export"), [{ vm: "b", against: "a" }]);
    assert.equal((await run(["diff", "a", "b", "--base-commit", "HEAD"])).code, 2);
    assert.match((await run(["diff", "a", "--stat"])).stdout, /^ M {2}\+3 -1 +src\/a\n/);
    assert.equal((JSON.parse((await run(["diff", "a", "--json"])).stdout) as { text: string }).text, diff);
  });
});
