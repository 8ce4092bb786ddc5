// Much, long and odd things between host and guest: bounded memory, back-pressure, and clear errors when it does not fit.
import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { finished, Home, root } from "../support/home.ts";
import { bytesMoved, pendingSignals, residentBytes } from "../support/processes.ts";
import { until } from "../support/until.ts";

const mib = 1024 * 1024;
const memoryLimit = 250 * mib;

describe("large streams", { concurrency: false }, () => {
  let home: Home;
  let directory: string;
  before(async () => {
    home = new Home({ seeded: true });
    directory = mkdtempSync(join(tmpdir(), "banger-streams-"));
    await home.ok(["vm", "create", "--name", "web", "--memory", "256M", "--vcpu", "1", "--disk-size", "256M"]);
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await home[Symbol.asyncDispose]();
  });

  const sh = async (script: string) => (await home.ok(["vm", "exec", "web", "--", "sh", "-c", script])).stdout;
  const daemonPid = async () => (await home.json<{ pid: number }>(["daemon", "status"])).pid;
  /** Waits until bytes have moved and no more do: some looks in a row see the same number. */
  const stuck = async (child: ChildProcess) => {
    let [last, same] = [0, 0];
    await until("the stream to stand still", () => {
      const now = bytesMoved(child.pid ?? 0);
      same = now === last && now > 64 * 1024 ? same + 1 : 0;
      last = now;
      return same >= 10 ? true : undefined;
    });
  };
  const isSmall = async (child: ChildProcess) => {
    for (const pid of [child.pid ?? 0, await daemonPid()]) {
      const size = residentBytes(pid);
      assert.ok(size < memoryLimit, `process ${pid} has grown to ${size} bytes`);
    }
  };

  test("input without end for a process that does not read: it waits in small memory, and Ctrl-C twice ends it", async () => {
    const zeros = openSync("/dev/zero", "r");
    const child = spawn(join(root, "bin/banger"), ["vm", "exec", "web", "--", "sleep", "1000"], {
      env: home.environment(),
      stdio: [zeros, "pipe", "pipe"],
    });
    closeSync(zeros);
    const ended = finished(child);
    await stuck(child);
    await isSmall(child);
    // The first one waits behind the input; the second one ends the session, and with it the command.
    child.kill("SIGINT");
    await until("the first signal to be taken", () => (pendingSignals(child.pid ?? 0) === 0n ? true : undefined));
    child.kill("SIGINT");
    assert.equal((await ended).code, 130);
    await until("the process in the guest to end", async () =>
      (await sh("pgrep -x sleep || true")) === "" ? true : undefined,
    );
  });

  test("output without end for a client that does not read: it waits in small memory, and others go on", async () => {
    const child = home.start(["vm", "exec", "web", "--", "cat", "/dev/zero"]);
    // Nothing reads child.stdout.
    await stuck(child);
    await isSmall(child);
    assert.equal(await sh("echo others"), "others\n");
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    await until("the process in the guest to end", async () =>
      (await sh("pgrep -x cat || true")) === "" ? true : undefined,
    );
  });

  test("arguments of almost 1 MiB arrive whole; more is refused in words", async () => {
    const argument = "x".repeat(100_000);
    const many = (count: number) => [
      "vm",
      "exec",
      "web",
      "--",
      "sh",
      "-c",
      'printf "%s" "$@" | wc -c',
      "sh",
      ...Array<string>(count).fill(argument),
    ];
    assert.equal((await home.ok(many(10))).stdout, "1000000\n");
    const refused = await home.run(many(11));
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /\(request\.too-large\)/);
  });

  test("10,000 files into the VM, 1,000 back", async () => {
    const tree = join(directory, "many");
    for (let folder = 0; folder < 10; folder++) {
      mkdirSync(join(tree, String(folder)), { recursive: true });
      for (let file = 0; file < 1000; file++) writeFileSync(join(tree, String(folder), String(file)), `${file}\n`);
    }
    await home.ok(["cp", tree, "web:/root/many"]);
    assert.equal(await sh("find /root/many -type f | wc -l"), "10000\n");
    const back = join(directory, "back");
    await home.ok(["cp", "web:/root/many/7", back]);
    execFileSync("diff", ["-r", join(tree, "7"), back]);
    rmSync(tree, { recursive: true });
    await sh("rm -r /root/many");
  });

  test("names with a newline, and such that are not UTF-8, through cp and a repository", async () => {
    const tree = join(directory, "odd");
    mkdirSync(tree);
    const names = [
      Buffer.from("new\nline"),
      Buffer.from([0x62, 0xff, 0xfe, 0x80]),
      Buffer.from("-rf *"),
      Buffer.from("ü ' \""),
    ];
    for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), name]), name);
    const git = (...args: string[]) => execFileSync("git", ["-C", tree, ...args], { stdio: "pipe" });
    const expected = names.map((name) => name.toString("hex")).toSorted();
    const list = (path: string) =>
      readdirSync(path, { encoding: "buffer" })
        .map((name) => name.toString("hex"))
        .filter((name) => name !== Buffer.from(".git").toString("hex"))
        .toSorted();
    await home.ok(["cp", tree, "web:/root/odd"]);
    await home.ok(["cp", "web:/root/odd", join(directory, "odd-back")]);
    assert.deepEqual(list(join(directory, "odd-back")), expected);
    git("init", "-q");
    git("add", "-A");
    const shipped = await home.ok([
      "vm",
      "run",
      "--rm",
      "--memory",
      "256M",
      "--vcpu",
      "1",
      tree,
      "--",
      "tar",
      "-cf",
      "-",
      "--exclude=.git",
      ".",
    ]);
    assert.match(shipped.stdout, /new\nline/);
    const ran = await home.ok([
      "vm",
      "run",
      "--rm",
      "--quiet",
      "--memory",
      "256M",
      "--vcpu",
      "1",
      tree,
      "--",
      "python3",
      "-c",
      "import os; print(' '.join(sorted(n.hex() for n in os.listdir(b'.') if n != b'.git')))",
    ]);
    assert.equal(ran.stdout.trim(), expected.join(" "));
  });

  test("a full disk of the guest: the copy fails in words, and the VM goes on", async () => {
    const file = join(directory, "large");
    writeFileSync(file, Buffer.alloc(20 * mib, 1));
    await sh("avail=$(df --output=avail -B1 /root | tail -1); fallocate -l $((avail - 4000000)) /root/filler");
    for (const target of ["web:/root/large", "web:/root/"]) {
      const ran = await home.run(["cp", file, target]);
      assert.equal(ran.code, 1);
      assert.match(ran.stderr, /no space left on device.*\(file\.failed\)/);
    }
    const tree = join(directory, "tree");
    mkdirSync(tree);
    writeFileSync(join(tree, "large"), readFileSync(file));
    const ran = await home.run(["cp", tree, "web:/root/tree"]);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /no space left on device.*\(file\.failed\)/);
    await sh("rm -r /root/filler /root/tree; df --output=avail -B1M /root | tail -1");
  });

  test("a process that takes all memory of the guest is killed: 137, and the VM goes on", async () => {
    const ran = await home.run(["vm", "exec", "web", "--", "sh", "-c", "exec tail /dev/zero"]);
    assert.equal(ran.code, 137, ran.stderr);
    assert.equal(await sh("echo on"), "on\n");
  });
});
