// What works with a guest without a hand on its VM, when another command ends, pauses or puts back that VM: it says what became of the
// VM and what leads on, goes on where it can, and leaves nothing behind.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { toBangerError } from "../../src/lib/errors.ts";
import { CrashHome, smallSpec } from "../support/crash-home.ts";
import { finished } from "../support/home.ts";
import { until } from "../support/until.ts";

const vm = "box";

describe("a VM that is taken from those who work with it", { concurrency: false }, () => {
  let home: CrashHome;
  let directory: string;
  let repository: string;
  before(async () => {
    home = new CrashHome();
    directory = mkdtempSync(join(tmpdir(), "banger-interrupted-"));
    repository = makeRepository(3);
    await up();
    await prepare();
    await home.client.operate("snapshot.create", { vm, name: "then" });
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  const lines = () => Array.from({ length: 20 }, () => `${randomBytes(40).toString("hex")}\n`).join("");

  /** One with so many files that are committed, and changed since. */
  function makeRepository(files: number): string {
    const root = join(directory, `repository-${files}`);
    mkdirSync(root);
    const write = () => {
      for (let at = 0; at < files; at++) writeFileSync(join(root, `file-${at}`), lines());
    };
    const git = (...args: string[]) =>
      execFileSync("git", ["-C", root, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { stdio: "pipe" });
    git("init", "-q");
    write();
    git("add", "-A");
    git("commit", "-qm", "first");
    write();
    return root;
  }

  async function up(): Promise<void> {
    if ((await home.find(vm)) === undefined) await home.client.operate("vm.create", { name: vm, ...smallSpec });
    else await home.ensure(vm, "running");
  }
  const prepare = (path = repository) => home.client.operate("workspace.prepare", { vm, path, force: true });
  const inVm = (script: string) => home.output(vm, "sh", "-c", script);

  const verbs: Record<string, { verb: () => Promise<unknown>; says: string; hint: string; watchEnds?: boolean }> = {
    stop: {
      verb: () => home.client.operate("vm.stop", { vm }),
      says: "was stopped",
      hint: "banger vm start box",
      watchEnds: true,
    },
    restart: {
      verb: () => home.client.operate("vm.restart", { vm }),
      says: "was restarted",
      hint: "banger vm wait box  # until it runs again",
    },
    "pause to the disk": {
      verb: () => home.client.operate("vm.pause", { vm }),
      says: "was paused",
      hint: "banger vm resume box",
    },
    restore: {
      verb: () => home.client.operate("vm.restore", { vm, snapshot: "then" }),
      says: 'was put back to snapshot "then"',
      hint: "banger vm wait box  # until it runs again",
    },
    "kill of its VMM": {
      verb: async () => process.kill((await home.find(vm))?.pid ?? 0, "SIGKILL"),
      says: "has ended: the VMM was killed by SIGKILL",
      hint: "banger vm start box",
      watchEnds: true,
    },
    kill: {
      verb: () => home.client.call("vm.kill", { vm }),
      says: "was ended",
      hint: "banger vm start box",
      watchEnds: true,
    },
    delete: {
      verb: () => home.client.operate("vm.delete", { vm }),
      says: "was deleted",
      hint: "banger vm list",
      watchEnds: true,
    },
  };

  for (const [name, { verb, says, hint, watchEnds = false }] of Object.entries(verbs)) {
    test(`${name}: what is under way says so, with the command that leads on`, async () => {
      const { client } = home;
      await up();
      await prepare();
      const watch = client.events("workspace.watch", { vm });
      await watch.next();
      const ports = client.events("vm.ports", { vm, follow: true });
      await ports.next();
      const body = new PassThrough();
      body.write(Buffer.alloc(300));
      const sleeping = home.start(["vm", "exec", vm, "--", "sh", "-c", "echo up; exec sleep 1000"]);
      const command = finished(sleeping);
      await new Promise((resolve) => sleeping.stdout?.once("data", resolve));
      const ends: Record<string, Promise<unknown>> = {
        "vm.ports": ports.next(),
        "vm.unpack": client.upload("vm.unpack", { vm, directory: "/root" }, body),
      };
      const watched = watch.next().then(
        (next) => (next.done === true ? "ended" : `${next.value.written} written`),
        (error: unknown) => toBangerError(error).message,
      );
      const failures = Object.entries(ends).map(([call, end]) =>
        assert.rejects(end, { code: "guest.unreachable", message: `VM "${vm}" ${says}`, hint }, call),
      );
      await until("all to be under way", async () =>
        (await client.call("daemon.status", {})).sessionsOpen === 2 ? true : undefined,
      );
      await verb();
      await Promise.all(failures);
      const { code, stderr } = await command;
      // What a stop asks to end ends as any command does.
      if (/^(?:stop|restart)$/.test(name)) assert.equal(code, 143, stderr);
      else {
        assert.equal(code, 1);
        const told = `banger: error: VM "${vm}" ${says} (guest.unreachable)\nbanger: hint: ${hint}\n`;
        assert.equal(stderr.slice(0, told.length), told);
      }
      if (!watchEnds) {
        await up();
        writeFileSync(join(repository, "file-0"), `after ${name}`);
      }
      assert.match(await watched, watchEnds ? /^VM "box" (?:is not running \(stopped\)|was deleted)/ : /^1 written$/);
      await watch.return(undefined);
      const { sessionsOpen } = await client.call("daemon.status", {});
      assert.equal(sessionsOpen, 0);
    });
  }

  test("commands that begin while the VM is forked, snapshotted or paused in memory wait for it", async () => {
    const { client } = home;
    await up();
    const over = new AbortController();
    const failures: string[] = [];
    const busy = async (call: () => Promise<unknown>) => {
      while (!over.signal.aborted) {
        await call().catch((error: unknown) => {
          const { code, message } = toBangerError(error);
          if (code !== "vm.wrong-state") failures.push(`${message} (${code})`);
        });
      }
    };
    const calls = [
      () => inVm("true"),
      () => inVm("true"),
      () => client.call("vm.stat", { vm, path: "/etc" }),
      async () => {
        const { healthy, reason } = await client.call("vm.health", { vm });
        if (!healthy && !reason.includes("is paused")) throw new Error(reason);
      },
    ];
    const working = Promise.all(calls.map(busy));
    try {
      for (let round = 0; round < 2; round++) {
        const { vms } = await client.operate("vm.fork", { source: vm });
        await client.operate("vm.delete", { vm: vms[0]?.id ?? "" });
        const { id } = await client.operate("snapshot.create", { vm });
        await client.call("snapshot.delete", { snapshot: id });
        await client.operate("vm.pause", { vm, keepRunning: true });
        await client.operate("vm.resume", { vm });
      }
    } finally {
      over.abort();
      await working;
    }
    assert.deepEqual(failures, []);
  });

  test("a VM that is deleted while its workspace is prepared or looked at goes whole", async () => {
    const { client } = home;
    const large = makeRepository(1000);
    const calls: Record<string, () => Promise<unknown>> = {
      prepare: () => prepare(large),
      status: () => client.call("workspace.status", { vm }),
    };
    for (const [name, call] of Object.entries(calls)) {
      await up();
      if (name === "status") {
        await prepare(large);
        for (let at = 0; at < 1000; at++) writeFileSync(join(large, `file-${at}`), lines());
      }
      const outcome = call().then(
        () => assert.fail(`${name} came to its end`),
        (error: unknown) => toBangerError(error).message,
      );
      const { id } = (await home.find(vm)) ?? assert.fail("no VM");
      // Its git is at work then.
      const dir = join(home.path, "state/vms", id);
      const objects = () => execFileSync("find", [dir, "-path", "*/objects/??/*"], { encoding: "utf8" }).length;
      const begun = objects();
      await until(`objects of ${name}`, () => (objects() > begun ? true : undefined));
      await client.operate("vm.delete", { vm });
      assert.equal(await outcome, 'VM "box" was deleted', name);
      assert.deepEqual(readdirSync(join(home.path, "state/vms")), [], name);
    }
  });

  test("what was exported can be read and applied although its VM is deleted meanwhile", async () => {
    const { client } = home;
    await up();
    await prepare();
    await inVm("cd /root/repo && echo guest >> file-1");
    const { id } = await client.operate("workspace.export", { vm });
    await client.operate("vm.delete", { vm });
    const patch = await text(await client.download("workspace.read", { export: id, format: "patch" }));
    assert.ok(patch.startsWith("diff --git a/file-1 b/file-1\n") && patch.endsWith("\n+guest\n"), "the patch");
    // Only together with what was shipped can it be merged with this.
    writeFileSync(join(repository, "file-1"), `host\n${readFileSync(join(repository, "file-1"), "utf8")}`);
    const { changed, conflicts } = await client.operate("workspace.apply", { export: id });
    assert.deepEqual([changed, conflicts], [1, []]);
    assert.match(readFileSync(join(repository, "file-1"), "utf8"), /^host\n[^]*\nguest\n$/);
  });

  test("a console that is followed goes on through a pause and a restart, and ends with the VM", async () => {
    const { client } = home;
    await up();
    await inVm("echo before >/dev/console");
    await client.operate("vm.pause", { vm });
    const following = home.start(["vm", "logs", vm, "--follow"]);
    let seen = "";
    following.stdout?.on("data", (chunk: Buffer) => (seen += chunk.toString()));
    const ended = new Promise((resolve) => following.once("close", resolve));
    const shown = (word: string) =>
      until(`"${word}" on the console`, () => (seen.includes(word) ? true : undefined), 20_000);
    const say = async (word: string) => {
      await inVm(`echo ${word} >/dev/console`);
      await shown(word);
    };
    await shown("before");
    await client.operate("vm.resume", { vm });
    await say("after-the-pause");
    await client.operate("vm.restart", { vm });
    await say("after-the-restart");
    await client.call("vm.kill", { vm });
    assert.equal(await ended, 0);
  });
});
