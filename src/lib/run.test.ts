// Real child processes: arguments stay apart, groups end together, output is bounded.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { isRunning } from "../../test/support/processes.ts";
import { until } from "../../test/support/until.ts";
import { BangerError } from "./errors.ts";
import { cleanEnvironment, findTool, run } from "./run.ts";

const node = process.execPath;

test("arguments are never seen by a shell", async () => {
  const { stdout } = await run({ file: "printf", args: ["%s|", "a b", "$(id)", "'; true", "*"] });
  assert.equal(stdout.toString(), "a b|$(id)|'; true|*|");
});

test("input goes in, output comes out, stderr apart", async () => {
  const result = await run({ file: "sh", args: ["-c", "cat; echo oops >&2"], input: "hello" });
  assert.equal(result.stdout.toString(), "hello");
  assert.equal(result.stderr, "oops\n");
});

test("output can be streamed", async () => {
  const output = new PassThrough();
  const [, got] = await Promise.all([run({ file: "seq", args: ["3"], output }), text(output)]);
  assert.equal(got, "1\n2\n3\n");
});

test("streamed output ends with an error when the process does, if that is asked for", async () => {
  const output = new PassThrough();
  const got = text(output);
  got.catch(() => {});
  const failed = { code: "command.failed", details: { argv: ["sh", "-c", "echo part; exit 3"], exitCode: 3 } };
  await assert.rejects(run({ file: "sh", args: ["-c", "echo part; exit 3"], output, failOutput: true }), failed);
  await assert.rejects(got, failed);
});

test("a failure names command, exit code and the end of stderr", async () => {
  await assert.rejects(run({ file: "sh", args: ["-c", "echo broken >&2; exit 3"] }), (error: BangerError) => {
    assert.equal(error.code, "command.failed");
    assert.match(error.message, /exit code 3: broken/);
    assert.equal(error.details?.["exitCode"], 3);
    return true;
  });
  assert.equal((await run({ file: "sh", args: ["-c", "exit 3"], okExitCodes: [0, 3] })).exitCode, 3);
});

test("a tool that is not installed", async () => {
  await assert.rejects(run({ file: "no-such-tool-here", args: [] }), { code: "command.missing" });
  assert.equal(findTool("no-such-tool-here"), undefined);
  assert.match(findTool("sh") ?? "", /^\/.*\/sh$/);
});

test("too much output ends the process", async () => {
  await assert.rejects(run({ file: "yes", args: [], maxOutputBytes: 1000 }), { code: "command.failed" });
});

test("an abort ends the whole group, grandchildren too", async () => {
  const controller = new AbortController();
  let grandchild = 0;
  const running = run({
    file: "sh",
    args: ["-c", "sleep 1000 & echo $! >&2; wait"],
    signal: controller.signal,
    onStderr: (line) => {
      grandchild = Number(line);
      controller.abort(new BangerError("cancelled", "enough"));
    },
  });
  await assert.rejects(running, { code: "cancelled", message: "enough" });
  assert.ok(grandchild > 1);
  // A process closes its pipes, which is what was waited for, a moment before it is gone.
  await until("the grandchild to be gone", () => (isRunning(grandchild) ? undefined : true), 10_000);
});

test("a time-out says what did not end", async () => {
  await assert.rejects(run({ file: "sleep", args: ["1000"], timeoutMs: 20 }), {
    code: "timeout",
    message: /"sleep 1000"/,
  });
});

test("children get a clean environment", async () => {
  process.env["BANGER_TEST_SECRET"] = "s3cret";
  const { stdout } = await run({ file: node, args: ["-p", "JSON.stringify(process.env)"], env: { EXTRA: "1" } });
  delete process.env["BANGER_TEST_SECRET"];
  const env = JSON.parse(stdout.toString()) as Record<string, string>;
  assert.equal(env["BANGER_TEST_SECRET"], undefined);
  assert.equal(env["EXTRA"], "1");
  assert.equal(env["LC_ALL"], "C");
  assert.ok(cleanEnvironment()["PATH"]?.includes("/usr/sbin"));
});

test("a program for whose pipes there is no descriptor is an error, and no bug", () => {
  const script = `
    const { openSync } = await import("node:fs");
    const { run } = await import(${JSON.stringify(join(import.meta.dirname, "run.ts"))});
    await run({ file: "true", args: [] });
    try { for (;;) openSync("/dev/null"); } catch {}
    await run({ file: "true", args: [] }).catch(({ code }) => process.exit(code === "host.open-files" ? 7 : 8));`;
  const limited = ["--nofile=64", process.execPath, "--input-type=module", "--eval", script];
  const ran = spawnSync("prlimit", limited, { encoding: "utf8" });
  assert.equal(ran.status, 7, ran.stderr);
});
