// The real programs on a home that something is wrong with: what the user is told, and that a daemon comes up once it can.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { Home, root, type Ran } from "../support/home.ts";
import { until } from "../support/until.ts";

const nobody = 65534;

function failsWith(ran: Ran | ReturnType<typeof asNobody>, code: string, ...words: RegExp[]): void {
  assert.notEqual("code" in ran ? ran.code : ran.status, 0);
  for (const pattern of [RegExp(`\\(${code.replace(".", "\\.")}\\)`), ...words]) assert.match(ran.stderr, pattern);
  assert.doesNotMatch(ran.stderr, /\n\s+at /, "a stack was shown");
}

/** Runs the program as another user, who has no home of his own. */
function asNobody(bangerHome: string, ...args: string[]) {
  return spawnSync(
    "setpriv",
    [`--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups", join(root, "bin/banger"), ...args],
    { cwd: "/", encoding: "utf8", env: { PATH: process.env["PATH"], HOME: "/nonexistent", BANGER_HOME: bangerHome } },
  );
}

test("ten first calls of the program at once start one daemon", async () => {
  await using home = new Home({ seeded: false });
  await Promise.all(Array.from({ length: 10 }, () => home.ok(["vm", "list"])));
  const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
  const daemons = await until("the losers of the race to end", () => {
    const now = home.processes();
    return now.length === 1 ? now : undefined;
  });
  assert.deepEqual(
    daemons.map((one) => one.pid),
    [pid],
  );
});

test("another user is refused, and told by whom", async () => {
  await using home = new Home({ seeded: false });
  await home.ok(["vm", "list"]);
  chmodSync(home.path, 0o755);
  failsWith(asNobody(home.path, "vm", "list"), "daemon.unreachable", /bangerd\.sock|not yours|permission/i);
  await home.ok(["vm", "list"]);
});

test("a home that cannot be written", () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-test-"));
  try {
    chmodSync(directory, 0o755);
    failsWith(
      asNobody(directory, "vm", "list"),
      "daemon.start-failed",
      RegExp(`cannot make the directory "${directory}/state": .*permission denied`),
      /hint: BANGER_HOME=/,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a run directory that is somebody else's, or a link, is not used", async () => {
  await using home = new Home({ seeded: false });
  const run = join(home.path, "run");
  mkdirSync(run, { mode: 0o777 });
  chownSync(run, nobody, nobody);
  failsWith(
    await home.run(["vm", "list"]),
    "daemon.start-failed",
    RegExp(`"${run}" is not a directory of yours`),
    /hint: ls -ld/,
  );
  rmSync(run, { recursive: true });
  const elsewhere = join(home.path, "elsewhere");
  mkdirSync(elsewhere);
  symlinkSync(elsewhere, run);
  failsWith(await home.run(["vm", "list"]), "daemon.start-failed", /is not a directory of yours/);
  rmSync(run);
  await home.ok(["vm", "list"]);
});

test("a database that is newer, damaged, or something else is left as it is", async () => {
  await using home = new Home({ seeded: false });
  await home.ok(["vm", "list"]);
  await home.ok(["daemon", "stop"]);
  const file = join(home.path, "state/banger.db");
  const whole = join(home.path, "whole.db");
  cpSync(file, whole);
  const database = new DatabaseSync(file);
  database.exec("PRAGMA user_version = 1000");
  database.close();
  failsWith(await home.run(["vm", "list"]), "state.newer", /schema 1000/, /hint:/);
  writeFileSync(file, "not a database, but long enough to look like one ".repeat(100));
  failsWith(await home.run(["vm", "list"]), "state.unreadable", RegExp(file), /hint: mv /);
  cpSync(whole, file);
  await home.ok(["vm", "list"]);
});

test("a config.toml with mistakes: each is told with file, line and key", async () => {
  await using home = new Home({ seeded: false });
  const file = join(home.path, "config.toml");
  writeFileSync(file, '# mine\nlog_level = "loud"\n\n[vm_defaults]\nmemory_mib = "lots"\n');
  const ran = await home.run(["vm", "list"]);
  failsWith(
    ran,
    "config.invalid",
    RegExp(`${file}:2: log_level: `),
    RegExp(`${file}:5: \\[vm_defaults\\] memory_mib: `),
  );
  writeFileSync(file, "log_level = \n");
  failsWith(await home.run(["vm", "list"]), "config.invalid", RegExp(`${file}:1: not valid TOML`));
  writeFileSync(file, Buffer.from([0xff, 0xfe, 0x00]));
  failsWith(await home.run(["vm", "list"]), "config.unreadable", RegExp(file));
  rmSync(file);
  await home.ok(["vm", "list"]);
});

test("a socket that nobody listens on, and garbage on the one of a daemon", async () => {
  await using home = new Home({ seeded: false });
  const socket = join(home.path, "run/bangerd.sock");
  mkdirSync(join(home.path, "run"), { mode: 0o700 });
  // As a daemon leaves it that was killed.
  spawnSync(process.execPath, [
    "-e",
    `require("node:net").createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, "SIGKILL"))`,
  ]);
  assert.ok(existsSync(socket));
  await home.ok(["vm", "list"]);
  const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
  const connection = connect(socket);
  connection.write(Buffer.concat([Buffer.from([0, 255, 10, 13]), Buffer.alloc(100_000, 7)]));
  assert.match(await text(connection), /^HTTP\/1\.1 400 /);
  assert.equal((await home.json<{ pid: number }>(["daemon", "status"])).pid, pid);
});

test("something else that listens in the daemon's place: an error, not a wait", async () => {
  await using home = new Home({ seeded: false });
  mkdirSync(join(home.path, "run"), { mode: 0o700 });
  const server = createServer((connection) => {
    connection.on("error", () => {});
    connection.end("220 mail ready\r\n");
  });
  const socket = join(home.path, "run/bangerd.sock");
  server.listen(socket);
  try {
    failsWith(await home.run(["vm", "list"]), "daemon.unreachable", /bangerd\.sock|daemon/);
  } finally {
    server.close();
    rmSync(join(home.path, "run"), { recursive: true });
  }
});
