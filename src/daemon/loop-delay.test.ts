// What blocks the event loop is measured, and only when that is asked for.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";
import { test } from "node:test";
import { atOneTime, measureLoopDelay } from "./loop-delay.ts";

function pass(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test("what blocks the event loop is measured when that is asked for", async () => {
  assert.equal(measureLoopDelay({}), undefined);
  using delay = measureLoopDelay({ BANGER_DEBUG_LOOP: "1" });
  assert.ok(delay !== undefined);
  await setImmediate();
  pass(60);
  assert.ok(delay.longestMs() >= 50, `${delay.longestMs()}`);
  assert.ok(delay.longestBusyMs() > 0);
  // It waited for no processor, so all of it is its own.
  assert.ok(delay.longestOwnMs() >= 50 && delay.longestOwnMs() <= delay.longestMs(), `${delay.longestOwnMs()}`);
});

test("what was read when the thread lost its processor is read again", () => {
  let reads = 0;
  const read = () => {
    if (++reads === 1) pass(20);
    return reads;
  };
  const before = performance.now();
  const { at, value } = atOneTime(read);
  assert.ok(value > 1 && value === reads, `${value} of ${reads}`);
  assert.ok(at >= before + 20 && at <= performance.now());
});

test("a clock that cannot be read in time is read late", () => {
  let reads = 0;
  const { value } = atOneTime(() => (pass(2), ++reads));
  assert.equal(value, 20);
});

/** Ends and prints when its stdin does. */
const measured = `
const { measureLoopDelay } = await import(process.argv[1]);
const delay = measureLoopDelay({ BANGER_DEBUG_LOOP: "1" });
process.stdin.resume().on("end", () => {
  console.log(JSON.stringify({ late: delay.longestMs(), own: delay.longestOwnMs() }));
  process.exit();
});
console.log("begun");`;

test("a loop that waits for events while its process does not run was free", async () => {
  const module = new URL("loop-delay.ts", import.meta.url).href;
  const args = ["--input-type=module", "-e", measured, module];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  try {
    await once(child.stdout, "data");
    stopInEpoll(Number(child.pid));
    pass(1000);
    child.kill("SIGCONT");
    child.stdin.end();
    const { late, own } = JSON.parse(await text(child.stdout)) as { late: number; own: number };
    assert.ok(late >= 900, `${late}`);
    assert.ok(own < late / 2, `${own} of ${late}`);
  } finally {
    child.kill("SIGKILL");
    await exited;
  }
});

const epollPwait = process.arch === "arm64" ? "22" : "281";
const stopTimeoutMs = 30_000;

/** Stops a process while its first thread waits for events. */
function stopInEpoll(pid: number): void {
  const of = (file: string) => readFileSync(`/proc/${pid}/${file}`, "utf8");
  const end = Date.now() + stopTimeoutMs;
  for (;;) {
    process.kill(pid, "SIGSTOP");
    while (!of("stat").includes(") T ")) {
      if (Date.now() > end) throw new Error(`process ${pid} does not stop: ${of("stat")}`);
    }
    if (of("syscall").startsWith(`${epollPwait} `)) return;
    if (Date.now() > end) throw new Error(`process ${pid} is never stopped while it waits: ${of("syscall")}`);
    process.kill(pid, "SIGCONT");
    pass(3);
  }
}
