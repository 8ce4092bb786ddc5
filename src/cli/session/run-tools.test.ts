// "vm run" with a repository that pins tools, and in forks.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { frameType, type Frame } from "../../api/frames.ts";
import { BangerError } from "../../lib/errors.ts";
import { type FakeOptions, runFake } from "../testing/run-fake.ts";
import { fakeVm } from "../../api/testdata/vm-record.ts";

/** A command's session: its output, then its exit code. */
const session = (code: number, output: string) => () => ({
  frames: (async function* (): AsyncGenerator<Frame> {
    yield { type: frameType.started, payload: Buffer.alloc(0) };
    yield { type: frameType.output, payload: Buffer.from(output) };
    yield { type: frameType.exit, payload: Buffer.from(JSON.stringify({ code, signal: 0 })) };
  })(),
  send: async () => {},
  sendJson: () => {},
  closed: Promise.resolve(),
  [Symbol.dispose]: () => {},
});

const pin = (tool: string, version: string, source: string) => ({ tool, version, wanted: version, source });
const planned = (...tools: ReturnType<typeof pin>[]) => ({ root: "/r", tools, shadowed: [], files: [] });
const replies = {
  "vm.create": () => fakeVm("box"),
  "vm.show": () => fakeVm("box"),
  "vm.delete": () => ({}),
  "image.show": () => ({ config: { entrypoint: [], command: ["/bin/sh"], stopSignal: "" } }),
  "vm.exec": session(0, "out\n"),
  "workspace.inspect": () => ({ root: "/r", name: "r", subdirectory: "", files: 3, untracked: 0, lfsPointers: 0 }),
  "net.workspace": () => ({ policy: null }),
  "workspace.prepare": () => ({ guestPath: "/root/repo", workdir: "/root/repo", root: "/r", files: 3, untracked: 0 }),
  "workspace.toolchain.inspect": () => planned(),
};
const run = (words: string[], options: FakeOptions = {}) =>
  runFake(["vm", "run", ...words], { ...options, replies: { ...replies, ...options.replies } });

describe("tools that the repository pins", () => {
  const withTools = (source: string, missing: boolean, network = false) => {
    const tool = pin("go", "1.24", source);
    const found = { tools: [{ ...tool, found: missing ? "1.19" : "1.24.1", missing }], mise: false, network };
    return {
      "workspace.toolchain.inspect": () => planned(tool),
      "workspace.toolchain.install": () => ({
        ...found,
        installed: false,
        problem: missing ? "the VM has no network to fetch them from" : "",
      }),
    };
  };
  const ran = (ended: Awaited<ReturnType<typeof run>>) => ended.calls.some(({ name }) => name === "vm.exec");

  test("what is there needs no word; files that came without their content do", async () => {
    const prepared = {
      guestPath: "/root/repo",
      workdir: "/root/repo",
      root: "/r",
      files: 3,
      untracked: 0,
      lfsPointers: 2,
    };
    const replied = { ...withTools("mise.toml", false), "workspace.prepare": () => prepared };
    const ended = await run([".", "--", "x"], { replies: replied });
    assert.match(ended.stderr, /2 files of Git LFS are shipped as a pointer.*git lfs pull/);
    assert.deepEqual([ended.code, ran(ended)], [0, true]);
    assert.doesNotMatch(ended.stderr, /go 1\.24/);
  });

  test("a file for mise means it: the run ends and says how to go on", async () => {
    const ended = await run([".", "--", "x"], { replies: withTools(".tool-versions", true) });
    assert.deepEqual([ended.code, ran(ended)], [1, false]);
    assert.match(ended.stderr, /go 1\.24 \(\.tool-versions\), it has 1\.19: the VM has no network.*tools-missing/);
    assert.match(ended.stderr, /hint: banger vm run --nat .*--no-bootstrap/);
    const anyway = await run(["--no-bootstrap", ".", "--", "x"], { replies: withTools(".tool-versions", true) });
    assert.deepEqual([anyway.code, ran(anyway)], [0, true]);
  });

  test("for other files it is a notice", async () => {
    const ended = await run([".", "--", "x"], { replies: withTools("go.mod", true) });
    assert.deepEqual([ended.code, ran(ended)], [0, true]);
    assert.match(ended.stderr, /go 1\.24 \(go\.mod\), it has 1\.19/);
  });
});

describe("vm run --fork", () => {
  const forked = {
    "vm.fork": ({ count, name }: Record<string, unknown>) => ({
      vms: Array.from({ length: Number(count) }, (_, at) => fakeVm(`${String(name)}-${at + 1}`)),
      pausedMs: 1,
    }),
    "vm.exec": ({ vm }: Record<string, unknown>) => session(vm === "id-box-2" ? 3 : 0, `from ${String(vm)}\nno end`)(),
    "workspace.export": ({ vm }: Record<string, unknown>) => {
      if (vm === "box-3") throw new BangerError("workspace.none", "none");
      return { id: "e1", fileCount: 2, added: 5, removed: 1, commits: 0 };
    },
    "workspace.forget": () => ({}),
  };

  test("each fork's lines have its name, and each one's result is told", async () => {
    const ended = await run(["--fork", "3", ".", "--", "./try.sh"], { replies: forked });
    assert.equal(ended.code, 3, ended.stderr);
    assert.match(ended.stdout, /^box-1 \| from id-box-1\n[^]*^box-1 \| no end$/m);
    assert.match(ended.stdout, /^box-2 +3 +\S+(?: \S+)? +2 files, \+5 -1$/m);
    assert.match(ended.stdout, /^box-3 +0 .*-$/m);
    assert.match(ended.stderr, /banger vm workspace diff box-1 box-2/);
    const environments = ended.calls
      .filter(({ name }) => name === "vm.exec")
      .map(({ params }) => params["environment"]);
    assert.deepEqual(environments, [["BANGER_FORK=1"], ["BANGER_FORK=2"], ["BANGER_FORK=3"]]);
    assert.deepEqual(
      ended.calls.filter(({ name }) => name === "vm.delete").map(({ params }) => params["vm"]),
      ["id-box"],
      "the VM that was only forked goes",
    );
  });

  test("--rm removes them all, also when a command fails; --json is the results alone", async () => {
    const hold = { "vm.hold": () => ({ held: true }) };
    const ended = await run(["--json", "--rm", "--fork", "2", ".", "--", "x"], { replies: { ...forked, ...hold } });
    assert.deepEqual(
      (JSON.parse(ended.stdout) as { vm: string; exitCode: number }[]).map(({ vm, exitCode }) => [vm, exitCode]),
      [
        ["box-1", 0],
        ["box-2", 3],
      ],
    );
    assert.deepEqual(
      ended.calls.filter(({ name }) => name === "vm.delete").map(({ params }) => params["vm"]),
      ["id-box-1", "id-box-2", "id-box"],
    );
  });

  test("what makes no sense is refused before a VM is made", async () => {
    for (const words of [
      ["--fork", "2", "."],
      ["--fork", "0", ".", "--", "x"],
      ["--fork", "2", "-t", ".", "--", "x"],
    ]) {
      const ended = await run(words);
      assert.deepEqual([ended.code, ended.calls], [2, []], words.join(" "));
    }
  });
});
