// A thread that steps back, and the others that do not.
import assert from "node:assert/strict";
import { getPriority } from "node:os";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

const script = `
import { readlinkSync } from "node:fs";
import { getPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { yieldProcessor } from ${JSON.stringify(new URL("yield-processor.ts", import.meta.url).href)};
yieldProcessor();
parentPort.postMessage(getPriority(Number(readlinkSync("/proc/thread-self").split("/").at(-1))));
`;

test("the thread that calls it steps back, and no other", async () => {
  const before = getPriority(process.pid);
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`));
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  worker.once("message", resolve);
  worker.once("error", reject);
  assert.equal(await promise, Math.min(19, before + 7));
  assert.equal(getPriority(process.pid), before);
  await worker.terminate();
});
