// Following a log that grows, is cut, does not exist yet, and ends with its writer.
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { buffer } from "node:stream/consumers";
import { followLog } from "./follow-log.ts";

const never = new AbortController().signal;
let dir: string;
let log: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "banger-log-"));
  log = join(dir, "console.log");
});
afterEach(() => rmSync(dir, { recursive: true }));

/** Reads until `text` was seen, then does what the step says, step by step. */
async function follow(steps: { seen: string; act: () => void }[], isLive: () => boolean): Promise<string> {
  let all = "";
  for await (const chunk of followLog(log, { follow: true, isLive, signal: never }) as AsyncIterable<Buffer>) {
    all += chunk.toString("latin1");
    const [step] = steps;
    if (step !== undefined && all.endsWith(step.seen)) {
      steps.shift();
      step.act();
    }
  }
  assert.deepEqual(steps, []);
  return all;
}

test("without follow: what is there, byte for byte; nothing when there is no file", async () => {
  const options = { follow: false, isLive: () => true, signal: never };
  assert.equal((await buffer(followLog(log, options))).length, 0);
  const bytes = Buffer.from([0, 27, 255, 10, ...Buffer.alloc(200_000, 1)]);
  writeFileSync(log, bytes);
  assert.deepEqual(await buffer(followLog(log, options)), bytes);
});

test("with follow: goes on while the writer lives, and has its last words", async () => {
  let live = true;
  writeFileSync(log, "one ");
  const steps = [
    { seen: "one ", act: () => appendFileSync(log, "two ") },
    {
      seen: "two ",
      act: () => {
        appendFileSync(log, "last");
        live = false;
      },
    },
  ];
  assert.equal(await follow(steps, () => live), "one two last");
});

test("a log that was cut starts again", async () => {
  let live = true;
  writeFileSync(log, "a long line\n");
  const steps = [
    {
      seen: "a long line\n",
      act: () => {
        truncateSync(log, 0);
        appendFileSync(log, "new\n");
        live = false;
      },
    },
  ];
  assert.equal(await follow(steps, () => live), "a long line\nnew\n");
});

test("an abort ends it", async () => {
  writeFileSync(log, "one");
  const abort = new AbortController();
  const stream = followLog(log, { follow: true, isLive: () => true, signal: abort.signal });
  stream.once("data", () => abort.abort());
  assert.equal((await buffer(stream)).toString(), "one");
});
