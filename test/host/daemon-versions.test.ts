// A newer client replaces an idle daemon, and lives with a busy one; whose calls a stop cuts off is told so.
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { test } from "node:test";
import { DaemonHome } from "../support/daemon/daemon-home.ts";
import { until } from "../support/until.ts";

test("an outdated daemon is replaced, once, also when several newer clients meet it", async () => {
  await using home = new DaemonHome();
  const old = await home.client({ builtAt: 1000 }).call("daemon.status", {});
  assert.equal(old.builtAt, 1000);
  const newer = Array.from({ length: 3 }, () => home.client({ builtAt: 2000 }));
  await Promise.all(newer.map((client) => client.call("vm.list", {})));
  const statuses = await Promise.all(newer.map((client) => client.call("daemon.status", {})));
  assert.deepEqual(new Set(statuses.map(({ builtAt }) => builtAt)), new Set([2000]));
  assert.equal(new Set(statuses.map(({ pid }) => pid)).size, 1);
  assert.deepEqual(home.notices, []);
});

test("an older client talks to a newer daemon", async () => {
  await using home = new DaemonHome();
  const { pid } = await home.client({ builtAt: 2000 }).call("daemon.status", {});
  const old = home.client({ builtAt: 1000 });
  await old.call("vm.list", {});
  assert.equal((await old.call("daemon.status", {})).pid, pid);
});

test("a busy outdated daemon goes on: the call is served and the user is told", async () => {
  await using home = new DaemonHome();
  const old = home.client({ builtAt: 1000 });
  const operation = await old.begin("vm.create", { name: "x", image: "never" });
  const { pid } = await old.call("daemon.status", {});
  await assert.rejects(old.call("daemon.stop", {}), { code: "daemon.busy" });
  const newer = home.client({ builtAt: 2000 });
  assert.equal((await newer.call("vm.list", {})).vms.length, 1);
  await newer.call("vm.list", {});
  assert.equal(home.notices.length, 1);
  assert.equal((await newer.call("daemon.status", {})).pid, pid);
  await old.call("operation.cancel", { id: operation.id });
  await assert.rejects(old.follow<"vm.create">(operation), { code: "cancelled" });
  const fresh = home.client({ builtAt: 2000 });
  await fresh.call("vm.list", {});
  assert.notEqual((await fresh.call("daemon.status", {})).pid, pid);
});

test("an upload to an outdated daemon reaches its successor whole", async () => {
  await using home = new DaemonHome();
  await home.client({ builtAt: 1000 }).call("daemon.status", {});
  const body = Readable.from([Buffer.alloc(300_000), Buffer.alloc(1)], { objectMode: false });
  const reply = await home.client({ builtAt: 2000 }).upload("vm.unpack", { vm: "box", directory: "/x" }, body);
  assert.deepEqual(reply, { entries: 300_001 });
});

test("an upload that a stop of the daemon cuts off is not taken up in its middle by the next one", async () => {
  await using home = new DaemonHome();
  const client = home.client();
  const { pid } = await client.call("daemon.status", {});
  const body = new PassThrough();
  body.write(Buffer.alloc(300_000));
  const outcome = client.upload("vm.unpack", { vm: "box", directory: "/x" }, body).catch((error: unknown) => error);
  await until("the daemon to take it", () => (body.readableLength === 0 ? true : undefined));
  await client.call("daemon.stop", { force: true });
  await until("the daemon to end", () => (home.daemons().includes(pid) ? undefined : true));
  body.end(Buffer.alloc(1));
  assert.equal(((await outcome) as { code?: string }).code, "daemon.shutting-down");
});

test("who watches or reads something is told of a stop, and takes what it has for no whole", async () => {
  await using home = new DaemonHome();
  const client = home.client();
  const { stateDir } = await client.call("daemon.status", {});
  writeFileSync(join(stateDir, "console.log"), "begin");
  const told = { code: "daemon.shutting-down", message: "the daemon was stopped meanwhile", hint: /^banger vm list/ };
  const events = client.events("vm.events", {})[Symbol.asyncIterator]();
  await events.next();
  const log = await client.download("vm.logs", { vm: "box", follow: true });
  await once(log, "readable");
  assert.equal(String(log.read()), "begin");
  const ends = [assert.rejects(events.next(), told), assert.rejects(once(log.resume(), "end"), told)];
  await client.call("daemon.stop", { force: true });
  await Promise.all(ends);
});
