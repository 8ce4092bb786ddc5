// vm.exec and vm.dial over the daemon: bytes, exit codes, signals, half-close, back-pressure, and clients that go away.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { PassThrough, Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { frameType } from "../../src/api/frames.ts";
import type { Client } from "../../src/sdk/client.ts";
import { dial } from "../../src/sdk/dial.ts";
import { exec } from "../../src/sdk/exec.ts";
import { DaemonHome } from "../support/daemon/daemon-home.ts";
import { processesWith } from "../support/daemon/processes.ts";
import { until } from "../support/until.ts";

describe("streams", () => {
  let home: DaemonHome;
  let client: Client;
  before(async () => {
    home = new DaemonHome();
    client = home.client();
    await client.call("daemon.status", {});
  });
  after(() => home[Symbol.asyncDispose]());

  async function run(argv: string[], stdin?: Readable) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const collected = Promise.all([buffer(stdout), buffer(stderr)]);
    const running = await exec(
      client,
      { vm: "box", argv },
      { stdout, stderr, ...(stdin === undefined ? {} : { stdin }) },
    );
    const exit = await running.exited;
    stdout.end();
    stderr.end();
    const [out, err] = await collected;
    return { ...exit, out, err };
  }

  test("output, error output and exit code", async () => {
    const { code, signal, out, err } = await run(["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert.deepEqual([code, signal, String(out), String(err)], [7, 0, "out\n", "err\n"]);
  });

  test("megabytes both ways come back unchanged", async () => {
    const bytes = randomBytes(5_000_000);
    const { code, out } = await run(["cat"], Readable.from([bytes], { objectMode: false }));
    assert.equal(code, 0);
    assert.ok(out.equals(bytes));
  });

  test("stdin that ends, stdin that is closed early, no stdin", async () => {
    assert.equal(String((await run(["cat"], Readable.from([]))).out), "");
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(65536));
      },
    });
    assert.equal(String((await run(["head", "-c", "3"], endless)).out), "\0\0\0");
    assert.equal(String((await run(["cat"])).out), "");
  });

  test("a command that cannot be started", async () => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    await assert.rejects(exec(client, { vm: "box", argv: ["no-such-program"] }, { stdout, stderr }), {
      code: "exec.not-found",
      operation: /^op-/,
    });
    await assert.rejects(exec(client, { vm: "no", argv: [] }, { stdout, stderr }), { code: "vm.not-found" });
  });

  test("a signal arrives although the process does not read its stdin", async () => {
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(65536));
      },
    });
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const running = await exec(
      client,
      { vm: "box", argv: ["sh", "-c", "echo up; exec sleep 1000"] },
      { stdin: endless, stdout, stderr },
    );
    await new Promise((resolve) => stdout.once("data", resolve));
    await until("stdin to be stuck", () => (endless.isPaused() ? true : undefined), 15_000);
    running.kill(15);
    assert.deepEqual(await running.exited, { code: 143, signal: 15 });
  });

  test("a reader that does not read stops the process, not the daemon", async () => {
    let waiting: (() => void) | undefined;
    const stuck = new Writable({
      highWaterMark: 1,
      write(_chunk, _encoding, callback) {
        waiting = callback;
      },
    });
    const mark = `T5_MARK=${randomBytes(8).toString("hex")}`;
    const running = await exec(
      client,
      { vm: "box", argv: ["env", mark, "head", "-c", "50000000", "/dev/zero"] },
      { stdout: stuck, stderr: stuck },
    );
    await until("the first output", () => (waiting === undefined ? undefined : true), 15_000);
    const { residentBytes } = await client.call("daemon.status", {});
    assert.ok(residentBytes < 400 * 1024 * 1024, `${residentBytes} bytes`);
    assert.equal(processesWith(mark).length, 1, "the writer should be blocked");
    stuck._write = (_chunk, _encoding, callback) => callback();
    waiting?.();
    assert.equal((await running.exited).code, 0);
  });

  test("a client that goes away takes its process group with it", async () => {
    const mark = `T5_MARK=${randomBytes(8).toString("hex")}`;
    const abort = new AbortController();
    const stdout = new PassThrough();
    const running = await exec(
      client,
      { vm: "box", argv: ["env", mark, "sh", "-c", "sleep 1000 & echo up; wait"] },
      { stdout, stderr: stdout, signal: abort.signal },
    );
    await new Promise((resolve) => stdout.once("data", resolve));
    assert.equal(processesWith(mark).length, 2);
    abort.abort(new Error("gone"));
    await assert.rejects(running.exited, { message: "gone" });
    await until("the process group to be gone", () => (processesWith(mark).length === 0 ? true : undefined), 15_000);
    await until("the session to end", async () =>
      (await client.call("daemon.status", {})).sessionsOpen === 0 ? true : undefined,
    );
  });

  test("a frame that does not belong ends the command with an error", async () => {
    const socket = await client.stream("vm.exec", { vm: "box", argv: ["sleep", "1000"] });
    socket.sendJson(frameType.exit, {});
    const seen: number[] = [];
    for await (const { type, payload } of socket.frames) {
      seen.push(type);
      if (type === frameType.error) assert.match(payload.toString(), /request\.invalid/);
    }
    assert.equal(seen.at(-1), frameType.error);
  });

  test("dial: bytes and half-close in both directions", async () => {
    const path = join(home.paths.runDir, "echo.sock");
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      // Answers only when the other side has ended its own.
      const chunks: Buffer[] = [];
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.on("end", () => socket.end(Buffer.concat(chunks)));
    }).listen(path);
    try {
      const bytes = randomBytes(3_000_000);
      const connection = await dial(client, { vm: "box", target: { unix: path } });
      const reply = buffer(connection);
      connection.end(bytes);
      assert.ok((await reply).equals(bytes));
    } finally {
      server.close();
    }
    await until("the session to end", async () =>
      (await client.call("daemon.status", {})).sessionsOpen === 0 ? true : undefined,
    );
  });

  test("dial: refused, and a client that leaves closes the connection", async () => {
    await assert.rejects(dial(client, { vm: "box", target: { tcp: "1" } }), { code: "guest.failed" });
    const path = join(home.paths.runDir, "hold.sock");
    const closed = Promise.withResolvers<void>();
    const server = createServer((socket) => socket.on("close", closed.resolve).resume()).listen(path);
    try {
      const connection = await dial(client, { vm: "box", target: { unix: path } });
      connection.destroy();
      await closed.promise;
    } finally {
      server.close();
    }
    assert.ok(!existsSync(path));
  });

  test("dial: a client that leaves while the other side does not read", async () => {
    const path = join(home.paths.runDir, "stuck.sock");
    const accepted: Socket[] = [];
    // Never reads: the connection fills up.
    const server = createServer({ pauseOnConnect: true }, (socket) => void accepted.push(socket)).listen(path);
    try {
      const connection = await dial(client, { vm: "box", target: { unix: path } });
      connection.on("error", () => {});
      for (let count = 0; count < 50; count++) connection.write(Buffer.alloc(100_000));
      let left = -1;
      await until("the write to be stuck", () => {
        const moved = connection.writableLength !== left;
        left = connection.writableLength;
        return moved || left === 0 ? undefined : true;
      });
      connection.destroy();
      await until("the session to end", async () =>
        (await client.call("daemon.status", {})).sessionsOpen === 0 ? true : undefined,
      );
    } finally {
      for (const socket of accepted) socket.destroy();
      server.close();
    }
  });

  test("open sessions keep the daemon from stopping, unless it is forced", async () => {
    const stdout = new PassThrough();
    const running = await exec(client, { vm: "box", argv: ["sleep", "1000"] }, { stdout, stderr: stdout });
    await assert.rejects(client.call("daemon.stop", {}), {
      code: "daemon.busy",
      message: "the daemon is busy: 1 session is open",
      hint: "banger daemon stop --force",
    });
    const ended = assert.rejects(running.exited, { code: "daemon.shutting-down" });
    await client.call("daemon.stop", { force: true });
    await ended;
  });
});
