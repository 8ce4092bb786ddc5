// Several clients that need the same thing share its pull: one leaves without the others noticing, the last one ends it.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { finished, Home, smallVm } from "../support/home.ts";
import { commandOf, descendantsOf } from "../support/processes.ts";
import { stageSeen } from "../support/stages.ts";
import { until } from "../support/until.ts";

const kernel = "debian-bookworm-cloud";

describe("pulls at the same time", { concurrency: false }, () => {
  /** Pids of the downloads that a daemon runs. */
  const downloads = (pid: number) => descendantsOf(pid).filter((one) => /^\S*apt-get .*download/.test(commandOf(one)));
  const daemonPid = async (home: Home) => (await home.json<{ pid: number }>(["daemon", "status"])).pid;
  const kernels = (home: Home) => readdirSync(join(home.path, "state/kernels"));

  test("two clients, one download; when both leave, it ends and nothing stays", async () => {
    await using home = new Home({ seeded: false });
    const clients = [home.start(["kernel", "pull", kernel]), home.start(["kernel", "pull", kernel])];
    const ended = clients.map(finished);
    await Promise.all(clients.map((client) => stageSeen(client, "download")));
    const pid = await daemonPid(home);
    const [only, ...more] = await until("the download", () => {
      const running = downloads(pid);
      return running.length === 0 ? undefined : running;
    });
    assert.deepEqual(more, []);
    clients[0]?.kill("SIGINT");
    assert.equal((await ended[0])?.code, 130);
    assert.deepEqual(downloads(pid), [only]);
    clients[1]?.kill("SIGINT");
    assert.equal((await ended[1])?.code, 130);
    await until("the download to end", () => (downloads(pid).length === 0 ? true : undefined));
    assert.deepEqual(kernels(home), []);
  });

  test("two `vm run` of a missing kernel: Ctrl-C in one leaves no VM, and the other one runs", async () => {
    await using home = new Home({ seeded: true });
    await home.ok(["kernel", "delete", kernel]);
    const clients = [1, 2].map(() => home.start(["vm", "run", "--rm", ...smallVm, "--", "echo", "ran"]));
    const ended = clients.map(finished);
    await Promise.all(clients.map((client) => stageSeen(client, "download")));
    clients[0]?.kill("SIGINT");
    const left = await ended[0];
    assert.deepEqual([left?.code, left?.stdout], [130, ""], left?.stderr);
    const other = await ended[1];
    assert.deepEqual([other?.code, other?.stdout], [0, "ran\n"], other?.stderr);
    assert.deepEqual(await home.vms(), []);
    assert.equal(kernels(home).length, 1);
  });
});
