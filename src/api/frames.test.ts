// Frames survive any cut of the byte stream; broken ones end it; both ends of a socket speak them.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { duplexPair, Readable } from "node:stream";
import { test } from "node:test";
import { FrameSocket } from "./frame-socket.ts";
import { encodeFrame, encodeJsonFrame, FrameDecoder, frameType, maxFrameBytes, type Frame } from "./frames.ts";

async function decode(chunks: Buffer[]): Promise<Frame[]> {
  return (await Readable.from(chunks).pipe(new FrameDecoder()).toArray()) as Frame[];
}

test("frames come out as they went in, however the bytes are cut", async () => {
  const sent = [
    encodeFrame(frameType.started),
    encodeFrame(frameType.input, Buffer.from("hello")),
    encodeJsonFrame(frameType.exit, { code: 3 }),
    encodeFrame(frameType.output, Buffer.alloc(70_000, 7)),
  ];
  const bytes = Buffer.concat(sent);
  const whole = await decode([bytes]);
  assert.deepEqual(
    whole.map(({ type, payload }) => [type, payload.length]),
    [
      [7, 0],
      [0, 5],
      [8, 10],
      [1, 70_000],
    ],
  );
  for (let round = 0; round < 30; round++) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length;) {
      const next = at + (round === 0 ? 1 : randomInt(1, 20_000));
      chunks.push(bytes.subarray(at, next));
      at = next;
    }
    assert.deepEqual(await decode(chunks), whole);
  }
});

test("a frame that is too long is refused before its bytes come", async () => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(maxFrameBytes + 1, 1);
  await assert.rejects(Readable.from([head]).pipe(new FrameDecoder()).toArray(), { code: "request.too-large" });
});

test("a frame that is cut off is dropped", async () => {
  assert.deepEqual(await decode([encodeFrame(1, Buffer.alloc(10)).subarray(0, 9)]), []);
});

test("two ends: frames, a byte stream in pieces, its end, the end of the connection", async () => {
  const [left, right] = duplexPair();
  const [a, b] = [new FrameSocket(left), new FrameSocket(right)];
  a.sendJson(frameType.resize, { columns: 1, rows: 2 });
  const writer = a.writer(frameType.output, frameType.outputEnd);
  writer.end(Buffer.alloc(150_000));
  writer.once("finish", () => a.end());
  const seen: [number, number][] = [];
  for await (const { type, payload } of b.frames) seen.push([type, payload.length]);
  assert.deepEqual(seen, [
    [frameType.resize, 22],
    [frameType.output, 65_536],
    [frameType.output, 65_536],
    [frameType.output, 18_928],
    [frameType.outputEnd, 0],
  ]);
  b[Symbol.dispose]();
  await Promise.all([a.closed, b.closed]);
});

test("bytes that came with the upgrade are the first frames", async () => {
  const [left] = duplexPair();
  const socket = new FrameSocket(left, encodeFrame(frameType.started));
  const first = await socket.frames[Symbol.asyncIterator]().next();
  assert.equal((first.value as Frame).type, frameType.started);
  socket[Symbol.dispose]();
});

test("a peer that breaks the format: the reader hears it and can still answer", async () => {
  const [left, right] = duplexPair();
  const socket = new FrameSocket(left);
  right.write(Buffer.alloc(5, 0xff));
  await assert.rejects(socket.frames[Symbol.asyncIterator]().next(), { code: "request.too-large" });
  socket.sendJson(frameType.error, { code: "request.too-large" });
  socket.end();
  const answer = (await right.pipe(new FrameDecoder()).toArray()) as Frame[];
  assert.deepEqual(
    answer.map(({ type }) => type),
    [frameType.error],
  );
});

test("sending to a peer that is gone ends at once", async () => {
  const [left] = duplexPair();
  const socket = new FrameSocket(left);
  socket[Symbol.dispose]();
  await socket.send(frameType.input, Buffer.alloc(1));
});
