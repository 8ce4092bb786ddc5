// The contract between the daemon's guest client and the real agent, over a unix socket.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { PassThrough, Readable, Writable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import type { ExecSpec, GuestAgent } from "../../src/guest/agent.ts";
import { BangerError } from "../../src/lib/errors.ts";
import { HostedAgent } from "../support/hosted-agent.ts";
import { until } from "../support/until.ts";

/** Every wait of this file ends by then. */
const deadline = () => AbortSignal.timeout(60_000);

let hosted: HostedAgent;
let agent: GuestAgent;

before(async () => {
  hosted = new HostedAgent();
  ({ agent } = await hosted.connect(deadline()));
});

after(async () => {
  await agent[Symbol.asyncDispose]();
  await hosted[Symbol.asyncDispose]();
});

const path = (...names: string[]) => join(hosted.directory, ...names);

function rejectsWith(promise: Promise<unknown>, code: string, pattern: RegExp): Promise<void> {
  return assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof BangerError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, pattern);
    return true;
  });
}

interface Ran {
  code: number;
  signal: number;
  stdout: string;
  stderr: string;
}

async function run(argv: string[], options: Partial<ExecSpec> = {}, by: GuestAgent = agent): Promise<Ran> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const texts = Promise.all([text(stdout), text(stderr)]);
  const { exited } = await by.exec({ argv, stdout, stderr, ...options }, { signal: deadline() });
  const exit = await exited;
  stdout.end();
  stderr.end();
  const [out, err] = await texts;
  return { ...exit, stdout: out, stderr: err };
}

function isAlive(pid: number): boolean {
  try {
    // A zombie is dead: only its parent has not looked yet.
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

test("hello, health and stats of a running guest", async () => {
  const hello = await agent.hello({ signal: deadline() });
  assert.equal(hello.phase, "running");
  assert.equal(hello.vmId, "hosted");
  assert.equal(hello.bootId, readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  assert.equal((await agent.health({ signal: deadline() })).healthy, true);
  const stats = await agent.stats({ signal: deadline() });
  assert.ok(stats.memoryTotalBytes > stats.memoryAvailableBytes && stats.processes > 1, JSON.stringify(stats));
});

test("exec keeps stdout, stderr and the exit code apart", async () => {
  const ran = await run(["sh", "-c", "echo out; echo err >&2; exit 42"]);
  assert.deepEqual(ran, { code: 42, signal: 0, stdout: "out\n", stderr: "err\n" });
  for (const code of [0, 1, 255]) assert.equal((await run(["sh", "-c", `exit ${code}`])).code, code);
});

test("exec passes arguments, environment and directory as they are", async () => {
  const ran = await run(["sh", "-c", 'printf "%s|" "$@" "$X" "$PWD"', "sh", "a b", "", "*", "ü\n"], {
    environment: ["X=a=b c"],
    cwd: hosted.directory,
  });
  assert.equal(ran.stdout, `a b||*|ü\n|a=b c|${hosted.directory}|`);
});

test("exec runs as the user that is asked for", async () => {
  const uid = execFileSync("id", ["-u", "nobody"], { encoding: "utf8" });
  const ran = run(["id", "-u"], { user: "nobody", cwd: "/" });
  // The agent is root in a guest; here it may be anybody, who cannot become somebody else.
  if (process.getuid?.() === 0) assert.equal((await ran).stdout, uid);
  else await rejectsWith(ran, "exec.failed", /./);
});

test("a process that a signal ends has 128 + its number", async () => {
  assert.deepEqual(await run(["sh", "-c", "kill -9 $$"]), { code: 137, signal: 9, stdout: "", stderr: "" });
  const stdout = new PassThrough();
  const handle = await agent.exec(
    { argv: ["sh", "-c", "echo ready; exec sleep 600"], stdout, stderr: new PassThrough() },
    { signal: deadline() },
  );
  await once(stdout, "data");
  handle.signal(15);
  assert.deepEqual(await handle.exited, { code: 143, signal: 15 });
});

test("stdin carries any bytes, in both directions at once", async () => {
  const bytes = randomBytes(8 * 1024 * 1024 + 17);
  const stdout = new PassThrough();
  const received = buffer(stdout);
  const { exited } = await agent.exec(
    { argv: ["cat"], stdin: Readable.from(slices(bytes, 100_003)), stdout, stderr: new PassThrough() },
    { signal: deadline() },
  );
  assert.equal((await exited).code, 0);
  stdout.end();
  assert.ok((await received).equals(bytes));
});

test("an empty stdin ends at once, and an open one does not hold a process that is done", async () => {
  assert.equal((await run(["cat"], { stdin: Readable.from([]) })).code, 0);
  assert.equal((await run(["cat"])).code, 0);
  const open = new PassThrough();
  open.write("never read");
  assert.equal((await run(["true"], { stdin: open })).code, 0);
  assert.equal(open.destroyed, false);
});

test("a terminal has a size, takes a new one, and sends signals by keys", async () => {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  let screen = "";
  stdout.on("data", (chunk: Buffer) => (screen += chunk.toString()));
  const handle = await agent.exec(
    {
      argv: ["sh", "-c", 'stty size; trap "stty size; exit 7" WINCH; while :; do sleep 0.05; done'],
      stdin,
      stdout,
      stderr: new PassThrough(),
      terminal: { columns: 101, rows: 33 },
    },
    { signal: deadline() },
  );
  await until("the first size", () => (screen.includes("33 101") ? true : undefined));
  handle.resize({ columns: 55, rows: 11 });
  assert.equal((await handle.exited).code, 7);
  assert.match(screen, /11 55/);
});

test("what cannot be started is an error that names it", async () => {
  await rejectsWith(run(["no-such-command"]), "exec.not-found", /no-such-command/);
  await rejectsWith(run(["/etc/hostname"]), "exec.failed", /\/etc\/hostname/);
  await rejectsWith(run(["true"], { cwd: "/no/such" }), "exec.failed", /\/no\/such/);
  await rejectsWith(run(["true"], { user: "no-such-user" }), "exec.failed", /no-such-user/);
});

test("an abort kills the whole process group", async () => {
  const controller = new AbortController();
  const stdout = new PassThrough();
  const { exited } = await agent.exec(
    { argv: ["sh", "-c", "sleep 600 & echo $! $$; wait"], stdout, stderr: new PassThrough() },
    { signal: controller.signal },
  );
  const pids = String((await once(stdout, "data"))[0])
    .trim()
    .split(" ")
    .map(Number);
  assert.ok(pids.length === 2 && pids.every(isAlive), String(pids));
  controller.abort(new BangerError("cancelled", "enough"));
  await rejectsWith(exited, "cancelled", /enough/);
  await until("the end of the processes", () => (pids.some(isAlive) ? undefined : true));
});

test("an output that nobody reads stops the process, and nothing is lost", async () => {
  let release = () => {};
  let received = 0;
  const held = new Promise<void>((resolve) => (release = resolve));
  const hash = createHash("sha256");
  const stdout = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      received += chunk.length;
      hash.update(chunk);
      void held.then(() => done());
    },
  });
  const { exited } = await agent.exec(
    { argv: ["sh", "-c", "head -c 20000000 /dev/zero; echo done >&2"], stdout, stderr: new PassThrough() },
    { signal: deadline() },
  );
  // Other calls go on meanwhile.
  assert.equal((await run(["echo", "hi"])).stdout, "hi\n");
  assert.ok(received < 1_000_000);
  release();
  assert.equal((await exited).code, 0);
  assert.equal(received, 20_000_000);
  assert.equal(hash.digest("hex"), createHash("sha256").update(Buffer.alloc(20_000_000)).digest("hex"));
});

test("files are written whole, with their mode, and read back", async () => {
  const bytes = randomBytes(3_000_001);
  const file = path("a file");
  await agent.writeFile(file, Readable.from(slices(bytes, 70_000)), { signal: deadline(), mode: 0o640 });
  assert.ok(readFileSync(file).equals(bytes));
  const info = await agent.stat(file, { signal: deadline() });
  assert.deepEqual([info.sizeBytes, info.mode & 0o7777, info.mode & 0o170000], [bytes.length, 0o640, 0o100000]);
  assert.ok((await buffer(await agent.readFile(file, { signal: deadline() }))).equals(bytes));
  await agent.writeFile(path("empty"), Readable.from([]), { signal: deadline() });
  assert.equal((await buffer(await agent.readFile(path("empty"), { signal: deadline() }))).length, 0);
});

test("an upload that breaks off leaves the old file and nothing beside it", async () => {
  mkdirSync(path("kept"));
  writeFileSync(path("kept/file"), "old");
  const controller = new AbortController();
  async function* breaking() {
    yield randomBytes(200_000);
    throw new Error("source failed");
  }
  async function* endless() {
    for (let count = 0; ; count += 1) {
      yield randomBytes(65_536);
      if (count === 20) controller.abort();
    }
  }
  await assert.rejects(
    agent.writeFile(path("kept/file"), Readable.from(breaking()), { signal: deadline() }),
    /source failed/,
  );
  await rejectsWith(
    agent.writeFile(path("kept/file"), Readable.from(endless()), { signal: controller.signal }),
    "cancelled",
    /./,
  );
  await until("the end of the partial files", () => (readdirSync(path("kept")).length === 1 ? true : undefined));
  assert.equal(readFileSync(path("kept/file"), "utf8"), "old");
});

test("file errors name the path", async () => {
  await rejectsWith(agent.stat("/no/such", { signal: deadline() }), "file.not-found", /\/no\/such/);
  await rejectsWith(agent.readFile("/no/such", { signal: deadline() }), "file.not-found", /\/no\/such/);
  await rejectsWith(agent.readFile("/etc", { signal: deadline() }), "file.failed", /\/etc/);
  await rejectsWith(agent.list("/etc/hostname", { signal: deadline() }), "file.failed", /\/etc\/hostname/);
  await rejectsWith(agent.readTar("/no/such", { signal: deadline() }), "file.not-found", /\/no\/such/);
  const early = agent.writeFile("/no/such/file", Readable.from([Buffer.alloc(1)]), { signal: deadline() });
  await rejectsWith(early, "file.not-found", /\/no\/such/);
});

test("list is sorted and shows links as links", async () => {
  mkdirSync(path("list"));
  for (const name of ["b", "a", "ü"]) writeFileSync(path("list", name), "");
  symlinkSync("a", path("list/link"));
  const { entries, truncated } = await agent.list(path("list"), { signal: deadline() });
  assert.deepEqual(
    entries.map((entry) => entry.name),
    ["a", "b", "link", "ü"],
  );
  assert.equal(entries[2]?.linkTarget, "a");
  assert.equal(truncated, false);
});

test("a tree goes out as a tar and comes back the same", async () => {
  mkdirSync(path("tree/sub"), { recursive: true });
  const bytes = randomBytes(2_000_000);
  writeFileSync(path("tree/sub/big"), bytes);
  writeFileSync(path("tree/run"), "#!/bin/sh\n", { mode: 0o755 });
  symlinkSync("sub/big", path("tree/link"));
  const tar = await buffer(await agent.readTar(path("tree"), { signal: deadline() }));
  const names = execFileSync("tar", ["-tf", "-"], { input: tar, encoding: "utf8" }).trim().split("\n").toSorted();
  assert.deepEqual(names, ["tree/", "tree/link", "tree/run", "tree/sub/", "tree/sub/big"]);
  const { entries } = await agent.writeTar(path("copy"), Readable.from(slices(tar, 50_000)), { signal: deadline() });
  assert.equal(entries, 5);
  assert.ok(readFileSync(path("copy/tree/sub/big")).equals(bytes));
  assert.equal(readlinkSync(path("copy/tree/link")), "sub/big");
});

test("a tar that leaves its directory is refused", async () => {
  writeFileSync(path("evil-source"), "evil");
  const tar = execFileSync("tar", ["-cPf", "-", "--transform", "s,.*,../escaped,", path("evil-source")]);
  await rejectsWith(
    agent.writeTar(path("jail"), Readable.from([tar]), { signal: deadline() }),
    "file.failed",
    /escaped/,
  );
  assert.equal(existsSync(path("escaped")), false);
});

test("dial reaches TCP ports and unix sockets, and closes one direction after the other", async () => {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    void buffer(socket).then((heard) => socket.end(createHash("sha256").update(heard).digest("hex")));
  });
  const bytes = randomBytes(5_000_000);
  const digest = createHash("sha256").update(bytes).digest("hex");
  for (const listen of [0, path("listener")]) {
    server.listen(listen);
    await once(server, "listening");
    const address = server.address();
    assert.ok(address !== null);
    const target = typeof address === "string" ? { unix: address } : { tcp: String(address.port) };
    const connection = await agent.dial(target, { signal: deadline() });
    const answer = text(connection);
    for (const slice of slices(bytes, 300_000)) {
      if (!connection.write(slice)) await once(connection, "drain");
    }
    connection.end();
    assert.equal(await answer, digest);
    server.close();
    await once(server, "close");
  }
  for (const socket of sockets) assert.equal(socket.destroyed, true);
});

test("dial says what refused, and a destroyed connection closes the guest's end", async () => {
  await rejectsWith(agent.dial({ unix: "/no/such" }, { signal: deadline() }), "guest.failed", /\/no\/such/);
  const server = createServer();
  server.listen(0);
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const connection = await agent.dial({ tcp: `127.0.0.1:${address.port}` }, { signal: deadline() });
  const [socket] = await accepted;
  socket.on("error", () => {}).resume();
  connection.destroy();
  await once(socket, "close");
  server.close();
});

test("after a host went away in the middle, the next one meets a fresh session", async () => {
  await using other = new HostedAgent();
  const first = await other.connect(deadline());
  const stdout = new PassThrough();
  const { exited } = await first.agent.exec(
    { argv: ["sh", "-c", "echo $$; while :; do echo noise; done"], stdout, stderr: new PassThrough() },
    { signal: deadline() },
  );
  const pid = Number(String((await once(stdout, "data"))[0]).split("\n")[0]);
  stdout.resume();
  first.socket.destroy();
  await rejectsWith(exited, "guest.unreachable", /./);
  assert.equal((await first.agent.closed).protocol, false);

  const second = await other.connect(deadline());
  assert.equal((await run(["echo", "again"], {}, second.agent)).stdout, "again\n");
  await until("the end of the first host's process", () => (isAlive(pid) ? undefined : true));
  await second.agent[Symbol.asyncDispose]();

  // Stale bytes of a host that was killed: half a frame, a SYN of its own, garbage.
  const stale = await other.open();
  stale.write(`\0\0\x04garbage\nBANGER/1 SYN ${"a".repeat(32)} 1\nPRI * HT`);
  stale.end();
  await once(stale.resume(), "close");
  const third = await other.connect(deadline());
  assert.equal((await third.agent.hello({ signal: deadline() })).phase, "running");
  await third.agent[Symbol.asyncDispose]();
});

test("a frozen guest begins nothing, stays so without a host, and becomes who it is told to be", async () => {
  await using other = new HostedAgent();
  const first = await other.connect(deadline());
  const stdout = new PassThrough();
  const { exited } = await first.agent.exec(
    { argv: ["sh", "-c", "echo $$; exec sleep 600"], stdout, stderr: new PassThrough() },
    { signal: deadline() },
  );
  const pid = Number(String((await once(stdout, "data"))[0]));
  await rejectsWith(first.agent.thaw({ signal: deadline() }), "guest.failed", /phase running, not frozen/);
  await first.agent.freeze({ sync: true, signal: deadline() });
  await first.agent.freeze({ sync: false, signal: deadline() });
  const marker = join(other.directory, "begun");
  const waiting = [
    run(["touch", marker], {}, first.agent),
    first.agent.stat("/", { signal: deadline() }),
    first.agent.health({ signal: deadline() }),
  ].map((call) => rejectsWith(call, "guest.unreachable", /./));
  // They have come to the agent by the time that it answers this.
  assert.equal((await first.agent.hello({ signal: deadline() })).phase, "frozen");
  first.socket.destroy();
  await rejectsWith(exited, "guest.unreachable", /./);
  await Promise.all(waiting);

  const { agent: second } = await other.connect(deadline());
  const hello = await second.hello({ signal: deadline() });
  assert.deepEqual([hello.phase, hello.vmId], ["frozen", "hosted"]);
  const identity = {
    vmId: "another",
    hostname: "another",
    bootId: "12345678-90ab-4cde-8f01-23456789abcd",
    ssh: { hostKeyPem: "", authorizedKeys: [] },
  };
  await rejectsWith(
    second.thaw({ identity: { ...identity, bootId: "x" }, signal: deadline() }),
    "guest.failed",
    /boot id "x"/,
  );
  const steps = await second.thaw({ identity, signal: deadline() });
  assert.deepEqual(
    steps.map((step) => step.name),
    ["sessions", "thaw"],
  );
  // What the first host ran was dead before, and what it wanted to run was not begun.
  assert.equal(isAlive(pid), false);
  assert.equal(existsSync(marker), false);
  const after = await second.hello({ signal: deadline() });
  assert.deepEqual([after.phase, after.vmId, after.bootId], ["running", "another", identity.bootId]);
  assert.equal((await run(["echo", "again"], {}, second)).stdout, "again\n");

  await second.freeze({ sync: false, signal: deadline() });
  const late = [run(["echo", "late"], {}, second).then((ran) => ran.stdout), second.stat("/", { signal: deadline() })];
  assert.equal((await second.hello({ signal: deadline() })).phase, "frozen");
  await second.thaw({ signal: deadline() });
  assert.equal((await Promise.all(late))[0], "late\n");
  await second[Symbol.asyncDispose]();
});

test("when the agent dies, the session ends by itself and calls say so", async () => {
  await using other = new HostedAgent();
  const session = await other.connect(deadline());
  const { exited } = await session.agent.exec(
    { argv: ["cat"], stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() },
    { signal: deadline() },
  );
  await other.kill();
  await rejectsWith(exited, "guest.unreachable", /./);
  assert.equal((await session.agent.closed).protocol, false);
  await rejectsWith(session.agent.hello({ signal: deadline() }), "guest.unreachable", /./);
});

function* slices(bytes: Buffer, size: number): Generator<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += size) yield bytes.subarray(offset, offset + size);
}
