// The daemon's HTTP: what it refuses and how, with raw bytes; what it answers, with the SDK.
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import type { Client } from "../../src/sdk/client.ts";
import { DaemonHome } from "../support/daemon/daemon-home.ts";
import { errorOf, post, sendRaw } from "../support/daemon/raw-http.ts";
import { until } from "../support/until.ts";

describe("the daemon's wire", () => {
  let home: DaemonHome;
  let client: Client;
  let socket: string;
  before(async () => {
    home = new DaemonHome();
    client = home.client();
    socket = home.paths.daemonSocket;
    await client.call("daemon.status", {});
  });
  after(() => home[Symbol.asyncDispose]());

  test("a call works with nothing but HTTP, and every reply names its request", async () => {
    const reply = await post(socket, "/v1/vm.list", "{}");
    assert.equal(reply.status, 200);
    assert.match(reply.headers.get("banger-operation") ?? "", /^op-[0-9a-f]{8}$/);
    assert.equal((JSON.parse(reply.body) as { vms: unknown[] }).vms.length, 1);
    assert.equal((await post(socket, "/v1/vm.list", "")).status, 200);
  });

  const refused: [string, string, string, number, string, RegExp][] = [
    ["an unknown method", "/v1/vm.fly", "{}", 404, "request.unknown-method", /vm\.fly/],
    ["a name of every object", "/v1/constructor", "{}", 404, "request.unknown-method", /constructor/],
    ["another path", "/", "{}", 404, "request.unknown-method", /POST \//],
    ["what is not JSON", "/v1/vm.show", "{vm", 400, "request.invalid", /not JSON/],
    ["a missing field", "/v1/vm.show", "{}", 400, "request.invalid", /"vm"/],
    ["a field of the wrong type", "/v1/vm.show", '{"vm":5}', 400, "request.invalid", /"vm"/],
    ["an unknown field", "/v1/vm.show", '{"vm":"box","color":1}', 400, "request.invalid", /"color"/],
    ["a nested field", "/v1/vm.create", '{"vcpus":1.5}', 400, "request.invalid", /"vcpus"/],
    ["a list where an object belongs", "/v1/vm.list", "[]", 400, "request.invalid", /vm\.list/],
    ["a stream without an upgrade", "/v1/vm.exec", '{"vm":"box","argv":[]}', 400, "request.invalid", /Upgrade/],
    [
      "a body over 1 MiB",
      "/v1/vm.show",
      JSON.stringify({ vm: "x".repeat(1 << 20) }),
      413,
      "request.too-large",
      /1048576/,
    ],
    ["what the service does not find", "/v1/vm.show", '{"vm":"no"}', 404, "vm.not-found", /"no"/],
  ];
  for (const [what, path, body, status, code, message] of refused) {
    test(`refuses ${what}`, async () => {
      const reply = await post(socket, path, body);
      const error = errorOf(reply);
      assert.deepEqual([reply.status, error.code], [status, code]);
      assert.match(error.message, message);
      assert.equal(error.operation, reply.headers.get("banger-operation"));
    });
  }

  test("a body without end is cut off", async () => {
    const head = "POST /v1/vm.show HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    const chunk = `10000\r\n${"y".repeat(0x10000)}\r\n`;
    const reply = await sendRaw(socket, `${head}${chunk.repeat(17)}0\r\n\r\n`);
    assert.equal(errorOf(reply).code, "request.too-large");
  });

  test("garbage and headers without end get an answer, and the daemon lives on", async () => {
    const garbage = await sendRaw(socket, Buffer.from([0, 1, 2, 255, 13, 10, 13, 10]));
    assert.deepEqual([garbage.status, errorOf(garbage).code], [400, "request.invalid"]);
    const long = await sendRaw(socket, `POST /v1/vm.list HTTP/1.1\r\nhost: x\r\nx: ${"z".repeat(2 << 20)}\r\n\r\n`);
    assert.deepEqual([long.status, errorOf(long).code], [413, "request.too-large"]);
    await client.call("vm.list", {});
  });

  test("parameters in the header are checked, too, also with an upgrade", async () => {
    const params = Buffer.from('{"vm":"box","argv":"ls"}').toString("base64url");
    const head = `banger-params: ${params}\r\nconnection: Upgrade\r\nupgrade: banger-stream\r\n`;
    const reply = await post(socket, "/v1/vm.exec", "", head);
    assert.deepEqual([reply.status, errorOf(reply).code], [400, "request.invalid"]);
    assert.match(errorOf(reply).message, /"argv"/);
    const notStream = await post(socket, "/v1/vm.list", "", "connection: Upgrade\r\nupgrade: banger-stream\r\n");
    assert.equal(errorOf(notStream).code, "request.invalid");
  });

  test("each call is logged with its id and outcome", async () => {
    const reply = await post(socket, "/v1/vm.show", '{"vm":"nobody"}');
    const line = await until("the log line", () => {
      const lines = readFileSync(home.paths.daemonLog, "utf8").split("\n");
      return lines.find((text) => text.includes(`"op":"${reply.headers.get("banger-operation")}"`));
    });
    const { level, method, outcome } = JSON.parse(line) as Record<string, unknown>;
    assert.deepEqual([level, method, outcome], ["info", "vm.show", "vm.not-found"]);
  });

  test("operate: updates, result, target", async () => {
    const stages: string[] = [];
    const vm = await client.operate("vm.create", { name: "web" }, { onUpdate: ({ stage }) => stages.push(stage) });
    assert.equal(vm.name, "web");
    assert.ok(stages.includes("work"), stages.join());
    const [newest] = (await client.call("operation.list", {})).operations;
    assert.deepEqual([newest?.target, newest?.done, newest?.error], ["web", true, null]);
  });

  test("operate: an abort cancels, waits for the undo, and throws with the operation's id", async () => {
    const abort = new AbortController();
    const outcome = client.operate(
      "vm.create",
      { image: "never" },
      { signal: abort.signal, onUpdate: ({ stage }) => stage === "work" && abort.abort() },
    );
    await assert.rejects(outcome, { code: "cancelled", operation: /^op-/ });
    assert.equal((await client.call("daemon.status", {})).operationsRunning, 0);
  });

  test("detach: an abort leaves the operation running", async () => {
    const abort = new AbortController();
    const operation = await client.begin("vm.create", { image: "never" });
    abort.abort();
    await assert.rejects(client.follow(operation, { signal: abort.signal, detach: true }), {
      code: "cancelled",
      hint: `banger operation show ${operation.id}`,
    });
    assert.equal((await client.call("operation.show", { id: operation.id })).done, false);
    await client.call("operation.cancel", { id: operation.id });
    await assert.rejects(client.follow(operation), { code: "cancelled" });
  });

  test("an operation that nobody knows", async () => {
    await assert.rejects(client.call("operation.show", { id: "op-no" }), { code: "operation.not-found" });
    await assert.rejects(client.events("operation.watch", { id: "op-no" }).next(), { code: "operation.not-found" });
  });

  test("download: all bytes, or the error that cut them short", async () => {
    const whole = await buffer(await client.download("vm.pack", { vm: "box", path: "/x" }));
    assert.equal(whole.length, 100_000);
    const broken = await client.download("vm.pack", { vm: "box", path: "/broken" });
    await assert.rejects(buffer(broken), { code: "file.failed", message: "the disk of the guest broke" });
    await assert.rejects(client.download("vm.pack", { vm: "no", path: "/x" }), { code: "vm.not-found" });
  });

  test("upload: bytes arrive; a refused one sends nothing", async () => {
    const bytes = Readable.from([Buffer.alloc(5), Buffer.alloc(7)], { objectMode: false });
    assert.deepEqual(await client.upload("vm.unpack", { vm: "box", directory: "/d" }, bytes), { entries: 12 });
    let pulled = false;
    const untouched = new Readable({
      read() {
        pulled = true;
        this.push(null);
      },
    });
    await assert.rejects(client.upload("vm.unpack", { vm: "box", directory: "d" }, untouched), {
      code: "request.invalid",
    });
    assert.equal(pulled, false);
  });

  test("logs with follow go on until the client leaves", async () => {
    const log = join(home.paths.stateDir, "console.log");
    writeFileSync(log, "one\n");
    assert.equal((await buffer(await client.download("vm.logs", { vm: "box" }))).toString(), "one\n");
    const stream = await client.download("vm.logs", { vm: "box", follow: true });
    const seen: string[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      seen.push(chunk.toString());
      if (seen.join("") === "one\n") appendFileSync(log, "\x1b[31mtwo\n");
      if (seen.join("") === "one\n\x1b[31mtwo\n") break;
    }
    await until("the session to end", async () =>
      (await client.call("daemon.status", {})).sessionsOpen === 0 ? true : undefined,
    );
  });

  test("a held VM goes when its holder goes, also when it is still being made", async () => {
    const names = async () => (await client.call("vm.list", {})).vms.map(({ name }) => name);
    const made = await client.begin("vm.create", { name: "held", autoRemove: true });
    await client.follow(made);
    for await (const { held } of client.events("vm.hold", { operation: made.id })) {
      assert.ok(held);
      assert.ok((await names()).includes("held"));
      break;
    }
    await until("the VM to be deleted", async () => ((await names()).includes("held") ? undefined : true));
    const never = await client.begin("vm.create", { name: "half", image: "never", autoRemove: true });
    for await (const _event of client.events("vm.hold", { operation: never.id })) break;
    await assert.rejects(client.follow(never), { code: "cancelled" });
    assert.ok(!(await names()).includes("half"));
  });

  test("a client's abort ends its call at once", async () => {
    const abort = new AbortController();
    const events = client.events("vm.hold", { operation: "box" }, { signal: abort.signal });
    await events.next();
    abort.abort(new Error("enough"));
    await assert.rejects(events.next(), { message: "enough" });
  });
});
