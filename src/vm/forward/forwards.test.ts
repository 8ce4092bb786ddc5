// Listeners follow the record of their VM. The guest is a server of this process; sockets and database are real.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, test } from "node:test";
import type { GuestAgent } from "../../guest/agent.ts";
import { BangerError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { openState, type State } from "../../state/open.ts";
import { addParts, exampleVm } from "../../state/testdata/rows.ts";
import type { VmRow } from "../../state/vms.ts";
import { Activity } from "../activity.ts";
import type { Session, Sessions } from "../sessions.ts";
import { until } from "../../../test/support/until.ts";
import { Forwards } from "./forwards.ts";
import { maxCarried } from "./gate.ts";

let root: string;
let state: State;
let forwards: Forwards;
let activity: Activity;
let guest: Server;
/** What was dialled. */
let dialled: object[];
let vm: VmRow;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-forward-"));
  state = openState(join(root, "db"));
  addParts(state);
  vm = exampleVm({ state: "running" });
  state.vms.insert(vm);
  guest = createServer({ allowHalfOpen: true }).listen(join(root, "guest.sock"));
  guest.on("connection", (socket) => {
    // Who asked may be gone by then.
    socket.on("error", () => {});
    void text(socket).then((said) => socket.end(`<${said}>`));
  });
  await once(guest, "listening");
  dialled = [];
  const agent = {
    async dial(target: object) {
      dialled.push(target);
      if ("tcp" in target && target.tcp === "81") throw new BangerError("guest.failed", "connection refused");
      const socket = connect({ path: join(root, "guest.sock"), allowHalfOpen: true });
      await once(socket, "connect");
      return socket;
    },
  } as unknown as GuestAgent;
  const session = { agent: Promise.resolve(agent) } as Session;
  const sessions = { get: (id: string) => (id === vm.id ? session : undefined) } as unknown as Sessions;
  activity = new Activity();
  forwards = new Forwards({ table: state.vms, sessions, activity, log: silentLogger });
});

afterEach(async () => {
  forwards.close();
  const closed = once(guest, "close");
  guest.close();
  await closed;
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

const row = () => state.vms.get(vm.id) ?? vm;
const listens = () => forwards.list(row()).map(({ listen, listening }) => [listen, listening]);
const portOf = (listen = "") => Number(listen.slice(listen.lastIndexOf(":") + 1));
async function exchange(listen: string | undefined, said: string): Promise<string> {
  const to = listen?.startsWith("/") ? { path: listen } : { host: "127.0.0.1", port: portOf(listen) };
  const socket = connect({ ...to, allowHalfOpen: true });
  socket.end(said);
  return await text(socket);
}

test("added: all or none, and gone when the VM stops; published: there again at its next start", async () => {
  const { forwards: published } = await forwards.reserve(vm.id, [{ target: "80" }]);
  state.vms.update(vm.id, { forwards: published });
  await forwards.add(row(), [{ target: "/run/a.sock" }, { listen: join(root, "host.sock"), target: "80" }]);
  const before = forwards.list(row());
  assert.equal(before.length, 3);
  for (const { listen } of before) assert.equal(await exchange(listen, "hi"), "<hi>");
  assert.deepEqual(dialled, [{ tcp: "80" }, { unix: "/run/a.sock" }, { tcp: "80" }]);
  await assert.rejects(
    forwards.add(row(), [{ target: "82" }, { listen: String(portOf(before[0]?.listen)), target: "83" }]),
    {
      code: "port.in-use",
      hint: `banger vm forward ${vm.name} --remove ${before[0]?.listen}`,
    },
  );
  assert.deepEqual(forwards.list(row()), before);

  state.vms.update(vm.id, { state: "paused" });
  await forwards.settle(vm.id);
  await assert.rejects(exchange(before[0]?.listen, "x"), /ECONNREFUSED/);
  assert.equal(row().forwards.length, 3, "a pause forgets nothing");
  state.vms.update(vm.id, { state: "stopped" });
  await forwards.settle(vm.id);
  assert.deepEqual(row().forwards, published);
  assert.equal(existsSync(join(root, "host.sock")), false);

  await forwards.prepare(row());
  state.vms.update(vm.id, { state: "starting" });
  await forwards.settle(vm.id);
  assert.deepEqual(listens(), [[published[0]?.listen, true]]);
  state.vms.remove(vm.id);
  await forwards.settle(vm.id);
  await assert.rejects(exchange(published[0]?.listen, "x"), /ECONNREFUSED/);
});

test("a reservation without a record is given back; a start whose port was taken says so and binds nothing", async () => {
  let listen: string | undefined;
  {
    using reserved = await forwards.reserve("ffffffffffff", [{ target: "80" }]);
    listen = reserved.forwards[0]?.listen;
  }
  await forwards.settle("ffffffffffff");
  const other = createServer().listen(portOf(listen), "127.0.0.1");
  await once(other, "listening");
  const unused = { listen: join(root, "x.sock"), target: "localhost:80", published: true };
  const taken = { listen: listen ?? "", target: "localhost:81", published: true };
  state.vms.update(vm.id, { state: "stopped", forwards: [unused, taken] });
  await assert.rejects(forwards.prepare(row()), {
    code: "port.in-use",
    message: /cannot get what it publishes: port \d+/,
  });
  assert.equal(existsSync(unused.listen), false);
  other.close();
});

test("the VM's own address, where it can be bound; else 127.0.0.1 is what its name means", async () => {
  state.vms.update(vm.id, { address: "127.99.1.2" });
  await forwards.add(row(), [{ target: "7123" }]);
  const [, own] = forwards.list(row());
  assert.deepEqual([own?.listen, own?.listening], ["127.99.1.2:7123", true]);
  state.vms.update(vm.id, { address: "203.0.113.7" });
  await forwards.settle(vm.id);
  assert.equal(row().address, null);
  assert.equal(forwards.list(row()).length, 1);
});

test("sockets of a killed daemon are swept, files of others are not", async () => {
  const [stale, file] = [join(root, "stale.sock"), join(root, "file")];
  const before = new Forwards({ table: state.vms, sessions: {} as Sessions, activity, log: silentLogger });
  await before.add(row(), [{ listen: stale, target: "80" }]);
  // Closed without its file: as after a kill.
  const parked = `${stale}.parked`;
  renameSync(stale, parked);
  before.close();
  renameSync(parked, stale);
  writeFileSync(file, "precious");
  state.vms.update(vm.id, { forwards: [...row().forwards, { listen: file, target: "localhost:80", published: true }] });
  await forwards.sweep();
  await forwards.settle(vm.id);
  const [swept, kept] = forwards.list(row());
  assert.deepEqual([swept?.listening, kept?.listening, kept?.problem], [true, false, `"${file}" exists already`]);
});

test("a target that refuses resets its connection; no more than so many are carried, the others wait", async () => {
  await forwards.add(row(), [{ target: "81" }, { target: "80" }]);
  const [refusing, works] = forwards.list(row());
  await assert.rejects(exchange(refusing?.listen, "x"), /ECONNRESET/);
  const held: Socket[] = [];
  for (let count = 0; count < maxCarried + 10; count++) {
    const socket = connect({ host: "127.0.0.1", port: portOf(works?.listen), allowHalfOpen: true });
    await once(socket, "connect");
    held.push(socket);
  }
  const late = exchange(works?.listen, "late");
  held.forEach((socket) => socket.end("x"));
  assert.equal(await late, "<late>");
  assert.deepEqual(await Promise.all(held.map((socket) => text(socket))), Array(maxCarried + 10).fill("<x>"));
  assert.ok(dialled.length > maxCarried);
});

test("where the host's side is a unix socket, which cannot be reset, a target that refuses closes it, and so do those who end it", async () => {
  const [refusing, works] = [join(root, "refusing.sock"), join(root, "works.sock")];
  await forwards.add(row(), [
    { listen: refusing, target: "81" },
    { listen: works, target: "80" },
  ]);
  assert.equal(await text(connect({ path: refusing })), "");
  assert.equal(await exchange(works, "still there"), "<still there>");
  const held = connect({ path: works, allowHalfOpen: true });
  held.write("x");
  await until("the connection to be carried", () => (dialled.length === 3 ? true : undefined));
  const closed = once(held.on("error", () => {}).resume(), "close");
  await forwards.remove(row(), row().forwards);
  held.end();
  await closed;
});
