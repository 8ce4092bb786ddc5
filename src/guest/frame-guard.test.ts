// The frame guard: honest traffic passes, floods and oversized frames do not.
import assert from "node:assert/strict";
import { once } from "node:events";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { FrameGuard } from "./frame-guard.ts";

const maxFrameBytes = 65_536;
const types = { data: 0, settings: 4, ping: 6, windowUpdate: 8 };

function frame(type: number, length: number, flags = 0): Buffer {
  const bytes = Buffer.alloc(9 + length);
  bytes.writeUIntBE(length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  return bytes;
}

function repeat(bytes: Buffer, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => bytes));
}

/** What comes through a guard, until it ended or failed. */
async function through(input: Iterable<Buffer>): Promise<{ bytes: number; error: unknown }> {
  const [near, far] = duplexPair();
  far.resume().on("error", () => {});
  const guard = new FrameGuard(near, { maxFrameBytes });
  let bytes = 0;
  guard.on("data", (chunk: Buffer) => (bytes += chunk.length));
  const closed = once(guard, "close").then(
    () => undefined,
    (error: unknown) => error,
  );
  for (const chunk of input)
    if (!far.write(chunk) && !guard.destroyed) await Promise.race([once(far, "drain"), closed]);
  far.end();
  const error = await closed;
  return { bytes, error };
}

function isViolation(error: unknown): boolean {
  return error instanceof BangerError && error.code === "guest.protocol";
}

test("passes honest traffic, cut anywhere", async () => {
  const traffic = Buffer.concat([
    frame(types.settings, 36),
    frame(types.settings, 0, 1),
    repeat(Buffer.concat([frame(types.data, 10), frame(types.windowUpdate, 4)]), 200),
    frame(types.data, maxFrameBytes),
    frame(types.data, 0, 1),
  ]);
  const pieces: Buffer[] = [];
  for (let offset = 0; offset < traffic.length; offset += 7) pieces.push(traffic.subarray(offset, offset + 7));
  assert.deepEqual(await through(pieces), { bytes: traffic.length, error: undefined });
});

test("refuses a frame that is larger than announced", async () => {
  const header = frame(types.data, 0);
  header.writeUIntBE(maxFrameBytes + 1, 0, 3);
  const { error } = await through([header]);
  assert.ok(isViolation(error));
});

for (const [name, flood] of Object.entries({
  settings: repeat(frame(types.settings, 6), 2000),
  pings: repeat(frame(types.ping, 8), 2000),
  "empty data": repeat(frame(types.data, 0), 100_000),
  "padded data": repeat(frame(types.data, 1, 8), 100_000),
  "unknown frames": repeat(frame(0x77, 0), 100_000),
})) {
  test(`ends a flood of ${name}`, async () => {
    const { error } = await through([flood]);
    assert.ok(isViolation(error), String(error));
  });
}

test("does not count small pieces of data", async () => {
  const { error } = await through([repeat(frame(types.data, 1), 200_000)]);
  assert.equal(error, undefined);
});
