// The order of "vm run": what is checked before a VM is made, and that --rm removes it at every exit.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeJsonFrame, frameType, type Frame } from "../../api/frames.ts";
import { BangerError } from "../../lib/errors.ts";
import { Interrupts } from "../interrupts.ts";
import { runFake, type FakeOptions } from "../testing/run-fake.ts";
import { fakeVm } from "../../api/testdata/vm-record.ts";

/** A session that prints "out" and "err" and exits with a code. */
function session(code: number) {
  return () => ({
    frames: frames([
      { type: frameType.started, payload: Buffer.alloc(0) },
      { type: frameType.output, payload: Buffer.from([0x6f, 0x00, 0x1b]) },
      { type: frameType.errorOutput, payload: Buffer.from("err") },
      { type: frameType.exit, payload: encodeJsonFrame(frameType.exit, { code, signal: 0 }).subarray(5) },
    ]),
    send: async () => {},
    sendJson: () => {},
    [Symbol.dispose]: () => {},
  });
}

async function* frames(list: readonly Frame[]): AsyncGenerator<Frame> {
  yield* list;
}

const prepared = { guestPath: "/root/repo", workdir: "/root/repo/sub", root: "/r", files: 3, untracked: 0 };
const replies = {
  "vm.create": () => fakeVm("box"),
  "vm.show": () => fakeVm("box"),
  "vm.hold": () => ({ held: true }),
  "vm.delete": () => ({}),
  "image.show": () => ({ config: { entrypoint: [], command: ["/bin/sh"], stopSignal: "" } }),
  "vm.exec": session(42),
  "workspace.inspect": () => ({ root: "/r", name: "r", subdirectory: "sub", files: 3, untracked: 1 }),
  "workspace.prepare": () => prepared,
  "net.workspace": () => ({ policy: null }),
  "workspace.toolchain.inspect": () => ({ root: "/r", tools: [], shadowed: [], files: [] }),
};
const names = (calls: { name: string }[]) =>
  calls.map(({ name }) => name).filter((name) => !["vm.show", "image.show", "net.workspace"].includes(name));
const run = (words: string[], options: FakeOptions = {}) =>
  runFake(["vm", "run", ...words], { ...options, replies: { ...replies, ...options.replies } });

describe("vm run", () => {
  test("--rm: repository looked at, VM made and held, repository shipped, command run, VM removed, code passed on", async () => {
    const ran = await run(["--rm", "sub", "--", "make", "test"]);
    assert.equal(ran.code, 42);
    assert.deepEqual(names(ran.calls), [
      "workspace.inspect",
      "vm.create",
      "vm.hold",
      "workspace.prepare",
      "workspace.toolchain.inspect",
      "vm.exec",
      "vm.delete",
    ]);
    const params = (name: string) => ran.calls.find((call) => call.name === name)?.params;
    assert.deepEqual(params("workspace.inspect"), { path: "/work dir/sub" });
    assert.deepEqual(params("vm.create"), { autoRemove: true });
    assert.deepEqual(params("vm.exec"), {
      ...{ vm: "id-box", argv: ["make", "test"], cwd: "/root/repo/sub", stdin: true },
      stopSignal: 15,
    });
    assert.equal(ran.stdout, "o\0\x1b", "a command's output is passed on byte for byte");
    assert.match(ran.stderr, /1 untracked file is not shipped/);
    assert.doesNotMatch(ran.stderr, /still running/);
  });

  test("a VM that another command has ended leads on, but not when it goes with this one", async () => {
    const paused = () => {
      throw new BangerError("guest.unreachable", 'VM "box" was paused', { hint: "banger vm resume box" });
    };
    const told = async (...words: string[]) => {
      const ran = await run([...words, "--", "true"], { replies: { "vm.exec": paused } });
      assert.equal(ran.code, 1);
      return ran.stderr;
    };
    assert.match(await told(), /VM "box" was paused \(guest\.unreachable\)\nbanger: hint: banger vm resume box/);
    const gone = await told("--rm");
    assert.match(gone, /VM "box" was paused; with --rm it is removed now \(guest\.unreachable\)/);
    assert.doesNotMatch(gone, /resume/);
  });

  test("without --rm the VM stays, and nothing holds it", async () => {
    const ran = await run(["--", "true"]);
    assert.deepEqual(names(ran.calls), ["vm.create", "vm.exec"]);
  });

  test("--timings names the parts in order, on stderr, also when the command cannot be run", async () => {
    const parts = async (...words: string[]) => {
      const ran = await run(["--timings", "--json", ...words, "--", "true"], { replies: broken });
      const json = ran.stderr.slice(ran.stderr.indexOf('{\n  "timings"'));
      const [text = ""] = json.split(/(?<=\n\})\n/);
      const { timings } = JSON.parse(text) as { timings: { vm: string; phases: { name: string }[] } };
      assert.equal(timings.vm, "box");
      return timings.phases.map(({ name }) => name);
    };
    let broken: NonNullable<FakeOptions["replies"]> = {};
    assert.deepEqual(await parts("--rm", "sub"), ["client", "create", "ship", "exec", "command", "delete"]);
    assert.deepEqual(await parts(), ["client", "create", "exec", "command"]);
    broken = {
      "vm.exec": () => {
        throw new BangerError("exec.not-found", "nope");
      },
    };
    assert.deepEqual(await parts("--rm"), ["client", "create", "delete"]);
    assert.match((await run(["--timings", "--quiet", "--", "true"])).stderr, /^errtimings of box\n {2}client /);
    assert.doesNotMatch((await run(["--", "true"])).stderr, /timings/);
  });

  test("what the image says is run, and with which signal it is stopped", async () => {
    const image = () => ({ config: { entrypoint: ["/run"], command: ["serve"], stopSignal: "SIGQUIT" } });
    const sent = async (...words: string[]) => {
      const { calls } = await run(words, { replies: { "image.show": image } });
      return calls.find((call) => call.name === "vm.exec")?.params["argv"];
    };
    assert.deepEqual(await sent(), ["/run", "serve"]);
    assert.deepEqual(await sent("--", "a"), ["/run", "a"]);
    assert.deepEqual(await sent("sub"), []);
    assert.deepEqual(await sent("--entrypoint", "/x", "--", "a"), ["/x", "a"]);
    const signal = async (words: string[], stopSignal: string) => {
      const reply = { config: { ...image().config, stopSignal } };
      const { calls } = await run(words, { replies: { "image.show": () => reply } });
      return calls.find((call) => call.name === "vm.exec")?.params["stopSignal"];
    };
    assert.equal(await signal([], "SIGQUIT"), 3);
    assert.equal(await signal(["--entrypoint", "/x"], "SIGRTMIN+3"), 37);
    assert.equal(await signal(["--", "a"], ""), 15);
    assert.equal(await signal([], "SIGNONE"), 15);
    assert.equal(await signal(["sub"], "SIGQUIT"), undefined, "a login shell");
  });

  test("--cold and --warm-from reach the daemon", async () => {
    const sent = async (...words: string[]) => (await run([...words, "--", "true"])).calls[0]?.params;
    assert.deepEqual(await sent("--cold"), { cold: true });
    assert.deepEqual(await sent("--warm-from", "ready", "--name", "x"), { from: "ready", name: "x" });
  });

  test("--detach prints the name and runs nothing; --json prints the record", async () => {
    const ran = await run(["-d"]);
    assert.deepEqual([ran.code, ran.stdout], [0, "box\n"]);
    assert.deepEqual(names(ran.calls), ["vm.create"]);
    assert.deepEqual(JSON.parse((await run(["-d", "--json"])).stdout), fakeVm("box"));
  });

  test("a repository that cannot be shipped is told before a VM is made", async () => {
    const refuse = () => {
      throw new BangerError("workspace.not-a-repository", "no repository");
    };
    const ran = await run(["--rm", "x", "--", "true"], { replies: { "workspace.inspect": refuse } });
    assert.equal(ran.code, 1);
    assert.deepEqual(names(ran.calls), ["workspace.inspect"]);
  });

  test("a path where nothing is may have been meant as a command", async () => {
    const refuse = () => {
      throw new BangerError("workspace.not-a-repository", "there is none", { details: { missing: "/x/make" } });
    };
    const ran = await run(["--rm", "make"], { replies: { "workspace.inspect": refuse } });
    assert.match(ran.stderr, /hint: banger vm run -- make {2}# when it is a command/);
  });

  test("--rm removes the VM when shipping fails and when the session breaks", async () => {
    const fail = () => {
      throw new BangerError("guest.failed", "broken");
    };
    for (const broken of ["workspace.prepare", "vm.exec"]) {
      const ran = await run(["--rm", "x", "--", "true"], { replies: { [broken]: fail } });
      assert.equal(ran.code, 1);
      assert.equal(names(ran.calls).at(-1), "vm.delete", broken);
      const kept = await run(["x", "--", "true"], { replies: { [broken]: fail } });
      assert.equal(names(kept.calls).includes("vm.delete"), false);
    }
  });

  test("a VM that is gone already is no error; a delete that fails is", async () => {
    const gone = () => {
      throw new BangerError("vm.not-found", "gone");
    };
    const ran = await run(["--rm", "--", "true"], { replies: { "vm.delete": gone } });
    assert.equal(ran.code, 42);
    assert.doesNotMatch(ran.stderr, /gone/);
    const stuck = () => {
      throw new BangerError("vmm.failed", "stuck");
    };
    const failed = await run(["--rm", "--", "true"], { replies: { "vm.delete": stuck, "vm.exec": session(0) } });
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /stuck/);
  });

  test("Ctrl-C while the VM is made: 130, and no session", async () => {
    using interrupts = new Interrupts(() => {});
    interrupts.install();
    const ran = await run(["--rm", "--", "true"], {
      interrupts,
      replies: {
        "vm.create": async (_params, signal) => {
          process.emit("SIGINT", "SIGINT");
          signal?.throwIfAborted();
        },
      },
    });
    assert.equal(ran.code, 130);
    assert.deepEqual(names(ran.calls), ["vm.create", "vm.hold"]);
    assert.match(ran.stderr, /^banger: interrupted$/m);
  });
});

describe("vm exec", () => {
  const exec = (words: string[], options: FakeOptions = {}) =>
    runFake(["vm", "exec", ...words], { ...options, replies: { ...replies, ...options.replies } });
  const sent = async (words: string[], options: FakeOptions = {}) =>
    (await exec(words, options)).calls.find(({ name }) => name === "vm.exec")?.params;

  test("the daemon chooses where it runs, unless told otherwise", async () => {
    assert.equal((await sent(["box", "--", "pwd"]))?.["cwd"], undefined);
    assert.equal((await sent(["--workdir", "/tmp", "box", "pwd"]))?.["cwd"], "/tmp");
    assert.equal((await sent(["--guest-path", "/opt", "box", "pwd"]))?.["cwd"], "/opt");
    assert.equal((await exec(["--guest-path", "/opt", "--workdir", "/tmp", "box", "pwd"])).code, 2);
    assert.equal((await sent(["--no-tools", "box", "pwd"]))?.["tools"], false);
  });

  test("a host that went on is told, whatever the command does; --auto-prepare brings the VM up to date first", async () => {
    const moved = { moved: true, root: "/r", prepared: "1".repeat(40), now: "2".repeat(40) };
    const refreshed = { "workspace.moved.inspect": () => moved, "workspace.refresh": () => ({}) };
    const told = await exec(["box", "pwd"], { replies: refreshed });
    assert.equal(told.code, 42);
    assert.match(told.stderr, /\/r is at 222222222222 by now, and box has it as of 111111111111: --auto-prepare/);
    const still = { ...refreshed, "workspace.moved.inspect": () => ({ ...moved, moved: false }) };
    assert.equal((await exec(["box", "pwd"], { replies: still })).stderr, "err");
    const first = await exec(["--auto-prepare", "box", "pwd"], { replies: refreshed });
    assert.deepEqual(names(first.calls), ["workspace.refresh", "vm.exec"]);
    const refuse = () => {
      throw new BangerError("workspace.changed", "the guest has work of its own");
    };
    const refused = await exec(["--auto-prepare", "box", "pwd"], { replies: { "workspace.refresh": refuse } });
    assert.equal(refused.code, 1);
    assert.deepEqual(names(refused.calls), ["workspace.refresh"]);
  });

  test("environment: values, and names that are passed on", async () => {
    const params = await sent(["-e", "A=b c", "-e", "TOKEN", "box", "env"], { env: { TOKEN: "t" } });
    assert.deepEqual(params?.["environment"], ["A=b c", "TOKEN=t"]);
  });

  test("a guest's control characters reach a terminal only in a session that has one", async () => {
    const shown = await exec(["-T", "box", "x"], { terminal: true });
    assert.deepEqual([shown.code, shown.stdout, shown.stderr], [42, "o\\x00\\x1b", "err"]);
    assert.equal((await exec(["-t", "box", "x"], { terminal: true })).stdout, "o\0\x1b");
    assert.equal((await exec(["box", "x"])).stdout, "o\0\x1b");
  });

  test("a command that is not there is 127, as in a shell", async () => {
    const missing = () => {
      throw new BangerError("exec.not-found", 'command "nope": not found');
    };
    assert.equal((await exec(["box", "nope"], { replies: { "vm.exec": missing } })).code, 127);
  });
});
