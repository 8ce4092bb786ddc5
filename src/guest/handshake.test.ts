// The handshake against peers that are late, wrong, silent or gone.
import assert from "node:assert/strict";
import { once } from "node:events";
import { duplexPair } from "node:stream";
import type { Duplex } from "node:stream";
import { mock, test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { shakeHands } from "./handshake.ts";

const never = new AbortController().signal;

/** Reads the SYN with this number. */
async function syn(far: Duplex, number: number): Promise<string> {
  let seen = "";
  for (;;) {
    const [chunk] = (await once(far, "data")) as [Buffer];
    seen += chunk.toString();
    const match = new RegExp(`\\nBANGER/1 SYN ([0-9a-f]{32} ${number})\\n`).exec(seen);
    if (match?.[1] !== undefined) return match[1];
  }
}

const code = (expected: string) => (error: unknown) => error instanceof BangerError && error.code === expected;

test("drops stale bytes and foreign ACKs, and gives back what follows its own", async () => {
  const [near, far] = duplexPair();
  const done = shakeHands(near, never);
  const tail = await syn(far, 1);
  far.write(Buffer.alloc(100_000, "x"));
  far.write(`\nBANGER/1 ACK ${"0".repeat(32)} 1\n`);
  for (const byte of `\nBANGER/1 ACK ${tail}\n`) far.write(byte);
  far.write("behind");
  await done;
  assert.equal(near.isPaused(), true);
  let rest = "";
  for await (const chunk of near) {
    rest += String(chunk);
    if (rest.length >= 6) break;
  }
  assert.equal(rest, "behind");
});

test("repeats the SYN, and takes only the ACK of the last one", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const [near, far] = duplexPair();
    let settled = false;
    const done = shakeHands(near, never).then(() => (settled = true));
    const first = await syn(far, 1);
    mock.timers.tick(20);
    const second = await syn(far, 2);
    assert.equal(first.slice(0, 32), second.slice(0, 32));
    far.write(`\nBANGER/1 ACK ${first}\n`);
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    assert.equal(settled, false);
    far.write(`\nBANGER/1 ACK ${second}\n`);
    await done;
  } finally {
    mock.timers.reset();
  }
});

test("gives up after 1 MiB without an ACK", async () => {
  const [near, far] = duplexPair();
  const done = shakeHands(near, never);
  done.catch(() => {});
  for (let megabytes = 0; megabytes < 20; megabytes += 1) far.write(Buffer.alloc(65_536, "\n"));
  await assert.rejects(done, code("guest.protocol"));
});

test("writes no more into a channel that nobody reads", async () => {
  mock.timers.enable({ apis: ["setInterval"] });
  try {
    const [near] = duplexPair({ highWaterMark: 256 });
    const controller = new AbortController();
    const done = shakeHands(near, controller.signal);
    done.catch(() => {});
    mock.timers.tick(1_000_000);
    assert.ok(near.writableLength < 2048, `${near.writableLength} bytes wait`);
    controller.abort();
    await assert.rejects(done, code("cancelled"));
  } finally {
    mock.timers.reset();
  }
});

test("fails when the channel ends, and with the reason of its signal", async () => {
  const [near, far] = duplexPair();
  const ended = shakeHands(near, never);
  far.end();
  await assert.rejects(ended, code("guest.unreachable"));

  const controller = new AbortController();
  const [other] = duplexPair();
  const aborted = shakeHands(other, controller.signal);
  controller.abort(new BangerError("vm.boot-timeout", "too slow"));
  await assert.rejects(aborted, code("vm.boot-timeout"));
  assert.equal(other.listenerCount("data"), 0);
});
