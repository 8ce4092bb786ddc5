// Machines whose process or control socket misbehaves, with stand-ins for QEMU that can.
import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "../../lib/log.ts";
import { startDetached } from "../../lib/run.ts";
import { isRunning, listMachines, machineName, markerOf, readIdentity, writeIdentity } from "./identity.ts";
import type { VmmIdentity } from "./identity.ts";
import { limitLog, tailOf } from "./log-limit.ts";
import { QemuMachine } from "./machine.ts";
import { hostBootId, isAlive, killProcess, startTicksOf, waitUntilGone } from "../../lib/process-table.ts";

const signal = new AbortController().signal;

/** A process that sleeps, and a server that greets like QMP on the socket of the same directory. */
class StandIn implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "banger-machine-"));
  readonly clients: Socket[] = [];
  readonly identity: VmmIdentity;
  readonly #server: Server;

  constructor() {
    const outputFd = openSync("/dev/null", "w");
    const { pid } = startDetached({ file: "sleep", args: ["600"], cwd: this.dir, outputFd });
    closeSync(outputFd);
    this.identity = { pid, startTicks: startTicksOf(pid) ?? 0, hostBootId: hostBootId(), marker: "banger-a-b" };
    this.#server = createServer((socket) => {
      this.clients.push(socket);
      socket.on("error", () => {});
      socket.write('{"QMP":{}}\n');
      socket.once("data", () => socket.write('{"return":{},"id":1}\n'));
    });
  }

  async machine(): Promise<QemuMachine> {
    await once(this.#server.listen(join(this.dir, "qmp.sock")), "listening");
    await writeIdentity(join(this.dir, "vmm.json"), this.identity);
    const machine = new QemuMachine({ vmId: "b", dir: this.dir, identity: this.identity, log: silentLogger });
    await machine.connect(signal);
    machine.watch();
    return machine;
  }

  /** The next connection to the control socket. */
  async nextClient(): Promise<void> {
    await once(this.#server, "connection");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    killProcess(this.identity);
    await waitUntilGone(this.identity, 10_000);
    for (const client of this.clients) client.destroy();
    this.#server.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

test("a VMM that sends garbage is ended, and the reason says so", async () => {
  await using standIn = new StandIn();
  await using machine = await standIn.machine();
  standIn.clients[0]?.write("\x01garbage\n");
  assert.deepEqual(await machine.exited, {
    reason: "the VMM was ended: the VMM sent a line that is not JSON on its control socket",
    expected: false,
  });
  assert.equal(isAlive(standIn.identity), false);
  assert.equal(existsSync(join(standIn.dir, "vmm.json")), false);
});

test("a control socket that closes while the VMM lives is connected again", async () => {
  await using standIn = new StandIn();
  await using machine = await standIn.machine();
  const again = standIn.nextClient();
  standIn.clients[0]?.destroy();
  await again;
  assert.equal(isAlive(standIn.identity), true);
  await machine.kill();
  assert.deepEqual(await machine.exited, { reason: "the daemon ended the VMM", expected: true });
});

test("files of a later machine in the same directory stay when the former one ends", async () => {
  await using standIn = new StandIn();
  await using machine = await standIn.machine();
  await writeIdentity(join(standIn.dir, "vmm.json"), { ...standIn.identity, startTicks: 1 });
  await machine.kill();
  assert.equal((await readIdentity(join(standIn.dir, "vmm.json")))?.startTicks, 1);
});

test("an identity is believed only when boot, start time, mark and command line agree", async () => {
  await using standIn = new StandIn();
  const { identity } = standIn;
  assert.equal(isAlive(identity), true);
  assert.equal(isAlive({ ...identity, startTicks: identity.startTicks + 1 }), false);
  // The process is alive and the file says so, but it is a sleep and no QEMU.
  assert.equal(markerOf(identity.pid), undefined);
  assert.equal(isRunning(identity, identity.marker), false);
  assert.deepEqual(listMachines("a"), new Map());
});

test("identity files: what is not one is none", async () => {
  await using standIn = new StandIn();
  const file = join(standIn.dir, "vmm.json");
  for (const text of ["", "{", "null", "[]", "{}", '{"pid":1,"startTicks":1,"hostBootId":"a","marker":"b"}', '"x"']) {
    writeFileSync(file, text);
    assert.equal(await readIdentity(file), undefined, text);
  }
  await writeIdentity(file, standIn.identity);
  assert.deepEqual(await readIdentity(file), standIn.identity);
  assert.equal(machineName("aabb", "0123"), "banger-aabb-0123");
});

test("a log over its limit keeps its end, and a writer that appends goes on", async () => {
  await using standIn = new StandIn();
  const log = join(standIn.dir, "console.log");
  writeFileSync(log, `${"x".repeat(1000)}\nlast line\n`);
  await limitLog(log, 2000, 10);
  assert.equal(readFileSync(log).length, 1011);
  await limitLog(log, 1000, 10);
  writeFileSync(log, "more\n", { flag: "a" });
  assert.equal(readFileSync(log, "utf8"), "last line\nmore\n");
  assert.equal(await tailOf(log, 1), "more");
  assert.equal(await tailOf(join(standIn.dir, "none"), 1), "");
});
