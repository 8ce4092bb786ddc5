// The client of the control socket against a peer that answers, stays silent, or lies.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { maxLineBytes, QmpLines } from "./qmp-lines.ts";
import { connectQmp } from "./qmp.ts";
import type { QmpEvent } from "./qmp.ts";

const signal = new AbortController().signal;
const greeting = '{"QMP":{"version":{},"capabilities":["oob"]}}\r\n';

describe("lines", () => {
  test("objects come whole, whatever the pieces", () => {
    const bytes = Buffer.from(`${greeting}\r\n{"return":{"a":"é"},"id":1}\r\n`);
    for (const size of [1, 2, 7, bytes.length]) {
      const lines = new QmpLines();
      const messages = [];
      for (let at = 0; at < bytes.length; at += size) messages.push(...lines.push(bytes.subarray(at, at + size)));
      assert.equal(messages.length, 2);
      assert.deepEqual(messages[1], { return: { a: "é" }, id: 1 });
    }
  });

  test("garbage and lines without end are refused", () => {
    for (const garbage of ["nonsense\n", "[1]\n", "3\n", "null\n", "\0\x01\x02\n"]) {
      assert.throws(() => new QmpLines().push(Buffer.from(garbage)), { code: "vmm.failed" }, garbage);
    }
    assert.throws(() => new QmpLines().push(Buffer.alloc(maxLineBytes + 1, "a")), /more than 4194304 bytes/);
    const lines = new QmpLines();
    assert.throws(() => {
      for (let count = 0; count <= maxLineBytes; count += 1000) lines.push(Buffer.alloc(1000, "a"));
    }, /more than 4194304 bytes/);
  });
});

/** A peer on a socket of its own that greets, then answers each command with what `answer` makes of it. */
class Peer implements AsyncDisposable {
  readonly #root = mkdtempSync(join(tmpdir(), "banger-qmp-"));
  readonly #server: Server;
  readonly path = join(this.#root, "qmp.sock");
  readonly sockets: Socket[] = [];

  constructor(answer: (command: { execute: string; id: number }) => string, hello = greeting) {
    this.#server = createServer((socket) => {
      this.sockets.push(socket);
      socket.on("error", () => {});
      socket.write(hello);
      socket.setEncoding("utf8").on("data", (text: string) => {
        for (const line of text.trim().split("\n")) {
          const command = JSON.parse(line) as { execute: string; id: number };
          socket.write(command.execute === "qmp_capabilities" ? `{"return":{},"id":${command.id}}\n` : answer(command));
        }
      });
    });
  }

  async connect(onEvent: (event: QmpEvent) => void = () => {}, when = signal) {
    if (!this.#server.listening) await once(this.#server.listen(this.path), "listening");
    return await connectQmp(this.path, { signal: when, onEvent });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
    rmSync(this.#root, { recursive: true, force: true });
  }
}

describe("client", () => {
  test("commands get their own replies, also out of order; errors have the VMM's words", async () => {
    const held: string[] = [];
    await using peer = new Peer(({ execute, id }) => {
      if (execute === "slow") {
        held.push(`{"return":"slow","id":${id}}\n`);
        return "";
      }
      if (execute === "fast") return `{"return":"fast","id":${id}}\n${held.join("")}`;
      return `{"error":{"class":"GenericError","desc":"no such command"},"id":${id}}\n`;
    });
    const client = await peer.connect();
    const both = [client.execute("slow", {}, { signal }), client.execute("fast", {}, { signal })];
    assert.deepEqual(await Promise.all(both), ["slow", "fast"]);
    await assert.rejects(client.execute("bad", {}, { signal }), { code: "vmm.failed", message: /no such command/ });
    client.close();
    assert.equal(await client.closed, undefined);
    await assert.rejects(client.execute("fast", {}, { signal }), /is closed/);
  });

  test("events are told, and a reply to a command that was given up is dropped", async () => {
    await using peer = new Peer(({ id }) => `{"return":1,"id":${id}}\n`);
    const events = Promise.withResolvers<QmpEvent>();
    const client = await peer.connect(events.resolve);
    const gone = new AbortController();
    const given = client.execute("any", {}, { signal: gone.signal });
    gone.abort(new Error("given up"));
    await assert.rejects(given, /given up/);
    peer.sockets[0]?.write('{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"},"timestamp":{}}\n');
    assert.deepEqual(await events.promise, { name: "SHUTDOWN", data: { guest: true, reason: "guest-shutdown" } });
    assert.equal(await client.execute("any", {}, { signal }), 1);
    client.close();
  });

  test("a peer that breaks the protocol ends the session, with what it did", async () => {
    for (const [lie, words] of [
      ["garbage\n", /not JSON/],
      ['{"return":{}}\n', /reply to no command/],
      ["x".repeat(maxLineBytes + 1), /more than/],
    ] as const) {
      await using peer = new Peer(() => lie);
      const client = await peer.connect();
      await assert.rejects(client.execute("any", {}, { signal }), words);
      assert.match((await client.closed)?.message ?? "", words);
    }
  });

  test("a peer that goes away ends the commands under way and is no breach", async () => {
    await using peer = new Peer(() => {
      peer.sockets[0]?.end();
      return "";
    });
    const client = await peer.connect();
    await assert.rejects(client.execute("any", {}, { signal }), /closed its control socket/);
    assert.equal(await client.closed, undefined);
  });

  test("so is one that goes away with a command unread", async () => {
    await using peer = new Peer(() => assert.fail("it reads nothing"));
    const client = await peer.connect();
    peer.sockets[0]?.pause();
    const refused = assert.rejects(client.execute("any", {}, { signal }), {
      code: "vmm.failed",
      message: /closed its control socket/,
    });
    peer.sockets[0]?.destroy();
    await refused;
    assert.equal(await client.closed, undefined);
  });

  test("no greeting: an abort ends the wait; a wrong greeting and no socket are errors", async () => {
    await using silent = new Peer(() => "", "");
    const gone = new AbortController();
    const connecting = silent.connect(() => {}, gone.signal);
    const refused = assert.rejects(connecting, /given up/);
    gone.abort(new Error("given up"));
    await refused;
    await using wrong = new Peer(() => "", '{"return":{}}\n');
    await assert.rejects(wrong.connect(), /does not speak QMP/);
    await assert.rejects(connectQmp("/nonexistent/qmp.sock", { signal, onEvent() {} }), { code: "ENOENT" });
  });
});
