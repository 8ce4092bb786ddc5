// Ctrl-C in `vm run` while it waits for others: the second one never waits, and what was begun is undone.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { finished, Home } from "../support/home.ts";
import { pendingSignals } from "../support/processes.ts";
import { stageSeen } from "../support/stages.ts";
import { until } from "../support/until.ts";

const small = ["--memory", "256M", "--vcpu", "1", "--disk-size", "512M", "--system-overlay-size", "256M"];

describe("Ctrl-C in vm run", { concurrency: false }, () => {
  let home: Home;
  let repository: string;
  before(() => {
    home = new Home({ seeded: true });
    repository = mkdtempSync(join(tmpdir(), "banger-large-"));
    const git = (...args: string[]) => execFileSync("git", ["-C", repository, ...args], { stdio: "pipe" });
    git("init", "-q");
    const bytes = randomBytes(1024 * 1024);
    for (let count = 0; count < 200; count++) writeFileSync(join(repository, `file-${count}`), bytes);
    git("-c", "core.compression=0", "add", "-A");
  });
  after(async () => {
    rmSync(repository, { recursive: true });
    await home[Symbol.asyncDispose]();
  });

  const settled = () =>
    until("operations to be over", async () => {
      const operations = await home.json<{ done: boolean }[]>(["operation", "list"]);
      return operations.every((operation) => operation.done) ? await home.vms() : undefined;
    });

  test("while a repository of 200 MB is shipped", async () => {
    const child = home.start(["vm", "run", "--rm", ...small, repository, "--", "true"]);
    const ended = finished(child);
    await stageSeen(child, "ship");
    child.kill("SIGINT");
    const ran = await ended;
    assert.equal(ran.code, 130, ran.stderr);
    assert.deepEqual(await settled(), []);
  });

  test("the second one leaves at once, also when the daemon does not answer; the VM goes all the same", async () => {
    const child = home.start(["vm", "run", "--rm", "--cold", ...small, "--", "sleep", "1000"]);
    const ended = finished(child);
    await stageSeen(child, "boot");
    const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
    process.kill(pid, "SIGSTOP");
    try {
      child.kill("SIGINT");
      // Signals of one kind that wait for their process are merged: the first must have been taken.
      await until("the first signal to be taken", () => (pendingSignals(child.pid ?? 0) === 0n ? true : undefined));
      child.kill("SIGINT");
      assert.equal((await ended).code, 130);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await until("the VM to go with its client", async () => ((await settled()).length === 0 ? true : undefined));
  });
});
