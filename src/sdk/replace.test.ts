// What counts as the end of a daemon's process.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { untilEnded } from "./replace.ts";

test("a process that its parent has not collected has ended", async () => {
  // The shell becomes a sleep, which never collects the child that it got from the shell. The child ends after that.
  const child = "until grep -qx sleep /proc/$PPID/comm; do :; done";
  const parent = spawn("/bin/sh", ["-c", `/bin/sh -c '${child}' & echo $!; exec sleep 60`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    assert.ok(pid > 1, line.toString());
    await untilEnded(pid, AbortSignal.timeout(10_000));
    assert.ok(process.kill(pid, 0), "its process id is still taken");
  } finally {
    parent.kill("SIGKILL");
  }
});

test("a process that lives is waited for until the signal aborts", async () => {
  const parent = spawn("/bin/sleep", ["60"], { stdio: "ignore" });
  try {
    const controller = new AbortController();
    const waiting = untilEnded(parent.pid as number, controller.signal);
    controller.abort(new Error("enough"));
    await assert.rejects(waiting, { name: "AbortError" });
  } finally {
    parent.kill("SIGKILL");
  }
});
