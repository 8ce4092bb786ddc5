// A guest that sends what it should not: trees with names that leave them, bombs, endless and broken answers.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, test } from "node:test";
import type { RunInGuest } from "../export/collect.ts";
import { checkCommits } from "../export/guest-state.ts";
import { signal, TwoSides } from "../testdata/two-sides.ts";

let sides: TwoSides;
beforeEach(() => {
  sides = new TwoSides((host) => writeFileSync(join(host, "file"), "content"));
  sides.ship();
});
afterEach(() => {
  const left = existsSync(join(sides.directory, "q")) ? readdirSync(join(sides.directory, "q")) : [];
  sides[Symbol.dispose]();
  assert.deepEqual(left, [], "a quarantine was left");
});

/** Writes an object without any check; returns its id. */
function object(type: "tree" | "blob" | "commit", content: Buffer | string): string {
  return execFileSync("git", ["-C", sides.guest, "hash-object", "-w", "--literally", "-t", type, "--stdin"], {
    input: content,
  })
    .toString()
    .trim();
}

const entry = (mode: string, name: string | Buffer, id: string) =>
  Buffer.concat([Buffer.from(`${mode} `), Buffer.from(name), Buffer.from([0]), Buffer.from(id, "hex")]);

function pack(...ids: string[]): Buffer {
  return execFileSync("git", ["-C", sides.guest, "pack-objects", "--stdout", "-q"], { input: ids.join("\n") });
}

/** A guest that answers with this head and these bytes. */
function answering(fields: { tree: string; head?: string }, ...bytes: Buffer[]): RunInGuest {
  return async ({ stdout }) => {
    stdout.write(`banger-export 1\nhead ${fields.head ?? ""}\nbase \ntree ${fields.tree}\nbranch main\n\n`);
    for (const piece of bytes) stdout.write(piece);
    return 0;
  };
}

async function refusal(run: RunInGuest, maxBytes?: number): Promise<string> {
  await using quarantine = await sides.quarantine(maxBytes);
  const error: unknown = await sides.fetch(quarantine, { run }).then(
    () => assert.fail("it was taken"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Error && "code" in error);
  assert.equal(error.code, "workspace.refused", error.stack);
  return error.message;
}

test("names that leave the tree, git directories, links with files below them", async () => {
  const blob = object("blob", "evil");
  const nested = object("tree", entry("100755", "post-checkout", blob));
  const trees = [
    [entry("100644", "..", blob)],
    [entry("40000", "..", nested)],
    [entry("100644", "../x", blob)],
    [entry("100644", "/etc/passwd", blob)],
    [entry("100644", "a/../../x", blob)],
    [entry("40000", ".git", nested)],
    [entry("40000", ".GIT", nested)],
    [entry("40000", ".g\u200cit", nested)],
    [entry("40000", "git~1", nested)],
    [entry("40000", ".git ", nested)],
    [entry("100644", "", blob)],
    [entry("120000", "x", blob), entry("40000", "x", nested)],
    [entry("100644", "b", blob), entry("100644", "a", blob)],
    [entry("120000", ".gitmodules", blob)],
    [entry("140000", "socket", blob)],
  ];
  for (const entries of trees) {
    const tree = object("tree", Buffer.concat(entries));
    await refusal(answering({ tree }, pack(tree, nested, blob)));
  }
});

test("a repository inside the repository is refused, with a way to leave it out", async () => {
  sides.write("guest", "dep/file", "x");
  sides.gitOf(join(sides.guest, "dep"), "init", "-q");
  sides.gitOf(join(sides.guest, "dep"), "add", "-A");
  sides.gitOf(join(sides.guest, "dep"), "commit", "-qm", "x");
  await using quarantine = await sides.quarantine();
  await assert.rejects(sides.fetch(quarantine), {
    code: "workspace.refused",
    message: /"dep" is a git repository inside/,
    hint: /info\/exclude/,
  });
  execFileSync("sh", ["-c", "echo /dep >> .git/info/exclude"], { cwd: sides.guest });
  assert.deepEqual((await sides.fetch(quarantine)).changes, []);
});

test("commits are checked, entry for entry, also what a later one takes away", async () => {
  const blob = object("blob", "x");
  const evil = object("tree", entry("160000", "sub", "1".repeat(40)));
  const who = "a <a@b> 1 +0000";
  const start = sides.workspace.headCommit;
  const first = object("commit", `tree ${evil}\nparent ${start}\nauthor ${who}\ncommitter ${who}\n\nx\n`);
  const tree = object("tree", entry("100644", "fine", blob));
  const head = object("commit", `tree ${tree}\nparent ${first}\nauthor ${who}\ncommitter ${who}\n\nx\n`);
  await using quarantine = await sides.quarantine();
  const state = await sides.fetch(quarantine, {
    run: answering({ tree, head }, pack(blob, evil, tree, first, head)),
  });
  await assert.rejects(checkCommits(quarantine, state, signal), { code: "workspace.refused" });
});

test("what it names must have been sent", async () => {
  const blob = object("blob", "x");
  const tree = object("tree", entry("100644", "fine", blob));
  await refusal(answering({ tree: "1".repeat(40) }, pack(blob)));
  await refusal(answering({ tree }, pack(tree)));
  await refusal(answering({ tree, head: "1".repeat(40) }, pack(tree, blob)));
  await refusal(answering({ tree: blob }, pack(blob)));
});

test("broken answers", async () => {
  const blob = object("blob", "x");
  const tree = object("tree", entry("100644", "fine", blob));
  const good = pack(tree, blob);
  const damaged = Buffer.from(good);
  damaged[good.length - 30] = (damaged[good.length - 30] ?? 0) ^ 0xff;
  await refusal(answering({ tree }, good.subarray(0, 20)));
  await refusal(answering({ tree }, damaged));
  await refusal(answering({ tree }, Buffer.from("PACK\0\0\0\x02\xff\xff\xff\xff", "latin1")));
  await refusal(answering({ tree }, Buffer.alloc(0)));
  await refusal(answering({ tree: `${tree}\u001b[31m` }, good));
  await refusal(async ({ stdout }) => {
    stdout.write("no head at all");
    return 0;
  });
  await refusal(async ({ stdout }) => {
    stdout.write(Buffer.alloc(10_000, "x"));
    return 0;
  });
});

test("an endless answer is cut at its limit; a small one that unpacks to much is refused", async () => {
  const zeros = object("blob", Buffer.alloc(80 * 1024 * 1024));
  const tree = object("tree", entry("100644", "zeros", zeros));
  const bomb = pack(tree, zeros);
  assert.ok(bomb.length < 1024 * 1024);
  assert.match(await refusal(answering({ tree }, bomb)), /unpacks to more than/);
  let sent = 0;
  let ended = false;
  const endless: RunInGuest = async (command, options) => {
    const head = pack(zeros).subarray(0, 12);
    head.writeUInt32BE(0x00ffffff, 8);
    await answering({ tree }, head)(command, options);
    // Stored blocks that go on for ever.
    const piece = Buffer.alloc(65_536);
    while (!options.signal.aborted && !command.stdout.destroyed) {
      if (!command.stdout.write(piece)) await turn();
      sent += piece.length;
    }
    ended = true;
    throw options.signal.reason;
  };
  await refusal(endless, 8 * 1024 * 1024);
  await turn();
  assert.ok(ended && sent < 512 * 1024 * 1024, `${sent}`);
});

test("what the guest says when git fails there is told, and bounded", async () => {
  await using quarantine = await sides.quarantine();
  const failing: RunInGuest = async ({ stderr }) => {
    for (let n = 0; n < 1000; n++) stderr.write("noise ".repeat(100));
    stderr.write("\nfatal: no space left\n");
    return 128;
  };
  await assert.rejects(sides.fetch(quarantine, { run: failing }), (error: Error) => {
    assert.match(error.message, /exit code 128\): .*fatal: no space left$/s);
    return error.message.length < 3000;
  });
  const noGit: RunInGuest = async () => 90;
  await assert.rejects(sides.fetch(quarantine, { run: noGit }), { code: "workspace.failed", hint: /install -y git/ });
});
