// Memory of a socket is given back only where the HTTP parser has copied out of it.
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { SpentBuffers } from "./spent-buffers.ts";

/** A socket, and chunks of a body that a parser makes of what it reads: copies, or pieces. */
function pass(chunkOf: (data: Buffer) => Buffer, rounds: number): Buffer[] {
  const socket = new EventEmitter();
  using spent = new SpentBuffers({ socket } as unknown as IncomingMessage);
  const read = Array.from({ length: rounds }, () => {
    const data = Buffer.alloc(65_536, "x");
    const chunk = chunkOf(data);
    socket.emit("data", data);
    spent.look(chunk);
    return [data, chunk] as const;
  });
  spent[Symbol.dispose]();
  assert.equal(socket.listenerCount("data"), 0);
  for (const [, chunk] of read) assert.equal(chunk.toString(), "x".repeat(65_536));
  return read.map(([data]) => data);
}

test("what a parser has copied is given back, once it is known that it copies", () => {
  const left = pass((data) => Buffer.from(data), 20).map((data) => data.length);
  assert.deepEqual(left, [...Array.from({ length: 8 }, () => 65_536), ...Array.from({ length: 12 }, () => 0)]);
});

test("what a parser passes on as it is stays", () => {
  for (const data of pass((whole) => whole.subarray(0), 20)) assert.equal(data.length, 65_536);
});
