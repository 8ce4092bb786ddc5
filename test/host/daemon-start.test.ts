// The daemon starts by itself, once, in private directories, and comes back after any end.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { DaemonHome } from "../support/daemon/daemon-home.ts";
import { until } from "../support/until.ts";

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

test("ten first calls at once start exactly one daemon", async () => {
  await using home = new DaemonHome();
  const replies = await Promise.all(Array.from({ length: 10 }, () => home.client().call("daemon.status", {})));
  assert.equal(new Set(replies.map(({ pid }) => pid)).size, 1);
  await until("the losers of the race to end", () => (home.daemons().length === 1 ? true : undefined), 15_000);
  assert.deepEqual(home.daemons(), [replies[0]?.pid]);
});

test("socket, log, lock and directories are private whatever the umask", async () => {
  await using home = new DaemonHome();
  const before = process.umask(0);
  try {
    await home.client().call("daemon.status", {});
  } finally {
    process.umask(before);
  }
  const { paths } = home;
  assert.equal(modeOf(paths.daemonSocket), "600");
  for (const path of [paths.daemonLog, paths.daemonLock, paths.databaseFile]) assert.equal(modeOf(path), "600", path);
  for (const path of [paths.runDir, paths.stateDir]) assert.equal(modeOf(path), "700", path);
});

test("another user is refused", async () => {
  await using home = new DaemonHome();
  await home.client().call("daemon.status", {});
  // Even when the home itself is open to all.
  chmodSync(dirname(home.paths.runDir), 0o755);
  const asNobody = `const { connect } = require("node:net");
    connect(process.argv[1]).on("connect", () => console.log("connected")).on("error", (e) => console.log(e.code))
      .on("connect", () => process.exit())`;
  const run = (uid: string) =>
    spawnSync(
      "setpriv",
      [`--reuid=${uid}`, "--clear-groups", process.execPath, "-e", asNobody, home.paths.daemonSocket],
      {
        encoding: "utf8",
      },
    );
  assert.equal(run("0").stdout.trim(), "connected");
  const refused = run("65534");
  assert.equal(refused.stdout.trim(), "EACCES", refused.stderr);
});

test("a home with a very long path", async () => {
  await using home = new DaemonHome(join("x".repeat(120), "y".repeat(120)));
  const client = home.client();
  const { pid, socket } = await client.call("daemon.status", {});
  assert.ok(Buffer.byteLength(socket) > 240);
  await client.call("daemon.stop", {});
  await until("the socket to be gone", () => (existsSync(socket) ? undefined : true), 15_000);
  assert.notEqual((await client.call("daemon.status", {})).pid, pid);
});

test("after kill -9 the next call starts a new daemon over the stale socket", async () => {
  await using home = new DaemonHome();
  const client = home.client();
  const { pid } = await client.call("daemon.status", {});
  process.kill(pid, "SIGKILL");
  await until("the daemon to be gone", () => (home.daemons().length === 0 ? true : undefined), 15_000);
  assert.ok(existsSync(home.paths.daemonSocket));
  await assert.rejects(home.client({ autoStart: false }).call("daemon.status", {}), { code: "daemon.unreachable" });
  assert.notEqual((await client.call("daemon.status", {})).pid, pid);
});

test("calls that wait for a daemon when it is killed go to the next one, also those that change something", async () => {
  await using home = new DaemonHome();
  const client = home.client();
  const { pid, socket } = await client.call("daemon.status", {});
  // A process takes connections until the kernel has ended its last thread, and reads none of them.
  process.kill(pid, "SIGSTOP");
  const connections = () =>
    readFileSync("/proc/net/unix", "utf8")
      .split("\n")
      .filter((line) => line.endsWith(socket)).length;
  const before = connections();
  const calls = Promise.all([
    client.call("vm.kill", { vm: "box" }),
    client.operate("vm.create", { name: "web" }),
    client.stream("vm.exec", { vm: "box", argv: ["true"] }),
  ]);
  try {
    await until("three connections to wait", () => (connections() === before + 3 ? true : undefined), 15_000);
  } finally {
    process.kill(pid, "SIGKILL");
  }
  const [, made, frames] = await calls;
  frames[Symbol.dispose]();
  assert.equal(made.name, "web");
  assert.notEqual((await client.call("daemon.status", {})).pid, pid);
});

test("an operation that a killed daemon left is interrupted, and its follower is told", async () => {
  await using home = new DaemonHome();
  const client = home.client();
  const { pid } = await client.call("daemon.status", {});
  let killed = false;
  const onUpdate = () => {
    if (!killed) process.kill(pid, "SIGKILL");
    killed = true;
  };
  const outcome = client.operate("vm.create", { name: "x", image: "never" }, { onUpdate });
  await assert.rejects(outcome, { code: "operation.interrupted" });
});

test("SIGTERM ends the daemon cleanly: operations are cancelled, socket gone, exit code 0", async () => {
  await using home = new DaemonHome();
  const client = home.client();
  const { pid } = await client.call("daemon.status", {});
  const failed = assert.rejects(
    client.operate(
      "vm.create",
      { name: "x", image: "never" },
      {
        onUpdate: ({ stage }) => {
          if (stage === "work") process.kill(pid, "SIGTERM");
        },
      },
    ),
    { code: "daemon.shutting-down" },
  );
  await failed;
  await until("the daemon to end", () => (home.daemons().includes(pid) ? undefined : true), 15_000);
  const log = readFileSync(home.paths.daemonLog, "utf8").trimEnd().split("\n");
  const messages = log.map((line) => (JSON.parse(line) as { msg: string }).msg);
  assert.ok(messages.includes("daemon ends"), messages.join("\n"));
});

test("a daemon that cannot start says why", async () => {
  await using home = new DaemonHome();
  mkdirSync(dirname(home.paths.configFile), { recursive: true });
  writeFileSync(home.paths.configFile, "no_such_key = 1\n");
  await assert.rejects(home.client().call("daemon.status", {}), { code: "config.invalid", message: /no_such_key/ });
});

test("a daemon that dies at once fails the call with its last words", async () => {
  await using home = new DaemonHome();
  const client = home.client({ daemonCommand: [process.execPath, "-e", "throw new Error('last words')"] });
  await assert.rejects(client.call("daemon.status", {}), { code: "daemon.start-failed", message: /last words/ });
});

test("the log is cut at start when it has grown too long", async () => {
  await using home = new DaemonHome();
  mkdirSync(dirname(home.paths.daemonLog), { recursive: true });
  writeFileSync(home.paths.daemonLog, Buffer.alloc(11 * 1024 * 1024, "x"));
  await home.client().call("daemon.status", {});
  assert.ok(statSync(home.paths.daemonLog).size < 1024 * 1024);
  assert.equal(statSync(`${home.paths.daemonLog}.1`).size, 11 * 1024 * 1024);
});

test("the real entry loses the lock to a running daemon and exits 0 at once", async () => {
  await using home = new DaemonHome();
  await home.client().call("daemon.status", {});
  const second = spawn(process.execPath, [join(import.meta.dirname, "../../src/bin/bangerd.ts")], {
    env: { ...process.env, BANGER_HOME: home.path },
    stdio: "ignore",
  });
  const code = await new Promise((resolve) => second.once("exit", resolve));
  assert.equal(code, 0);
});

test("a daemon whose home was deleted ends by itself", async () => {
  await using home = new DaemonHome();
  const { pid } = await home.client().call("daemon.status", {});
  rmSync(dirname(home.paths.runDir), { recursive: true });
  await until("the daemon to end", () => (home.daemons().includes(pid) ? undefined : true), 30_000);
});
