// Memory of a process by part, read from text as the kernel writes it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { memoryOf, memoryTable, pssMib } from "./smaps.ts";

const mapping = (header: string, pssKib: number, anonymousKib: number) =>
  `${header}\nSize: 999 kB\nPss:   ${pssKib} kB\nPss_Dirty:  7 kB\nAnonymous:  ${anonymousKib} kB\nVmFlags: rd wr\n`;

test("each mapping counts for what it is", () => {
  const smaps = [
    mapping("7f00-7f10 rw-p 00000000 08:01 42                         /cache/t/memory.img", 3072, 2048),
    mapping("7f20-7f30 rwxp 00000000 00:00 0", 4096, 4096),
    mapping("7f40-7f50 rw-p 00000000 00:00 0", 1024, 1024),
    mapping("7f50-7f60 rw-p 00000000 00:00 0                          [heap]", 512, 512),
    mapping("7f60-7f70 r-xp 00000000 08:01 7                          /usr/bin/qemu-system-x86_64", 256, 0),
    mapping("ffff-fff0 r-xp 00000000 00:00 0                          [vdso]", 0, 0),
  ].join("");
  assert.deepEqual(memoryTable(smaps, "/cache/t/memory.img"), {
    "guest memory, its own": 2,
    "guest memory, shared with the template": 1,
    "translated code": 4,
    "heap, stacks and tables of QEMU": 1.5,
    "program and libraries": 0.25,
  });
});

test("a memory file that was removed is the same file", () => {
  const smaps = mapping("7f00-7f10 rw-p 00000000 08:01 42       /t/memory.img (deleted)", 1024, 1024);
  assert.equal(memoryTable(smaps, "/t/memory.img")["guest memory, its own"], 1);
});

test("a rollup without a PSS is told", () => {
  assert.equal(pssMib("Rss: 4 kB\nPss:  2048 kB\nPss_Anon: 1 kB\n"), 2);
  assert.throws(() => pssMib("Rss: 4 kB\n"), /no Pss/);
});

test("the parts of a living process make up its whole", async () => {
  // A process that waits: the two are read one after the other. 64 MiB of its own outweigh what it shares with others that come and go.
  const idle = "process.kept = Buffer.alloc(64 << 20, 1); process.stdin.resume(); process.stdout.write('ready');";
  const child = spawn(process.execPath, ["-e", idle], { stdio: ["pipe", "pipe", "inherit"] });
  try {
    await once(child.stdout, "data");
    assert.ok(child.pid !== undefined);
    const { pssMib: whole, table } = memoryOf(child.pid, "/no/such/file");
    const sum = Object.values(table).reduce((a, b) => a + b, 0);
    assert.ok(whole > 64);
    assert.ok(Math.abs(sum - whole) < whole * 0.2, `${sum} of ${whole} MiB`);
  } finally {
    const ended = once(child, "exit");
    child.stdin.end();
    await ended;
  }
});
