// One carried connection: ends, breaks, and a side that takes nothing.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, test } from "node:test";
import { relay } from "./relay.ts";

let server: Server;
let accepted: Promise<Socket>;
let client: Socket;

beforeEach(async () => {
  server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  accepted = once(server, "connection").then(([socket]) => socket as Socket);
  client = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  await once(client, "connect");
});
afterEach(() => {
  client.destroy();
  server.close();
});

/** A guest's end that answers with all that it was told, once that is over. */
class Echo extends Duplex {
  readonly #said: Buffer[] = [];

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#said.push(chunk);
    done();
  }

  override _final(done: () => void): void {
    this.push(Buffer.concat(this.#said));
    this.push(null);
    done();
  }
}

/** A guest's end that never takes what it is given. */
class Stuck extends Duplex {
  taken = 0;

  override _read(): void {}

  override _write(chunk: Buffer): void {
    this.taken += chunk.length;
  }
}

test("both directions end, and so does the relay, without a failure", async () => {
  const done = relay(await accepted, async () => new Echo());
  client.end("hello");
  assert.equal(await text(client), "hello");
  assert.equal(await done, undefined);
});

test("a guest's end that breaks resets the client, whatever it was doing", async () => {
  const guest = new Echo();
  const done = relay(await accepted, async () => guest);
  client.write("x");
  const reset = once(client, "error");
  guest.destroy(new Error("the guest is gone"));
  assert.equal(((await reset)[0] as NodeJS.ErrnoException).code, "ECONNRESET");
  assert.equal(((await done) as Error).message, "the guest is gone");
});

test("a client that breaks ends the guest's end, also while it is being opened", async () => {
  const guest = new Stuck();
  const socket = await accepted;
  const done = relay(socket, async () => guest);
  client.resetAndDestroy();
  await Promise.all([once(guest, "close"), done]);
  assert.ok(guest.destroyed);
});

test("what the guest does not take is not read", async () => {
  const guest = new Stuck();
  const socket = await accepted;
  const done = relay(socket, async () => guest);
  // More than both kernels' buffers hold: were it read, all of it would arrive.
  const chunk = Buffer.alloc(1024 * 1024);
  for (let sent = 0; sent < 64; sent++) client.write(chunk);
  while (guest.writableLength < guest.writableHighWaterMark) await once(socket, "data");
  assert.ok(socket.isPaused());
  assert.ok(socket.bytesRead < 2 * chunk.length, `${socket.bytesRead} bytes were read`);
  client.resetAndDestroy();
  socket.destroy();
  await done;
});
