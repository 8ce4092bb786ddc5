// kill -9 of the daemon in the middle of its work: what it had started ends with it, and the next one cleans up and says so.
import assert from "node:assert/strict";
import { execFileSync, type ChildProcess } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { buildHostileAgent } from "../support/hostile-agent.ts";
import { finished, Home, smallVm } from "../support/home.ts";
import { anyRunsOf, commandOf, descendantsOf, isRunning } from "../support/processes.ts";
import { packKernel, seedKernelTree } from "../support/kernel-package.ts";
import { stageSeen } from "../support/stages.ts";
import { until } from "../support/until.ts";

interface Operation {
  kind: string;
  done: boolean;
  error: { code: string } | null;
}

/** Kills the daemon when the client shows the stage (and `ready` holds); the client ends with what the next daemon says. */
async function interrupt(home: Home, child: ChildProcess, stage: string, ready = (_below: number[]) => true) {
  const ended = finished(child);
  await stageSeen(child, stage);
  // To ask the daemon would take as long as a short import does.
  const { pid } = home.processes().find(({ command }) => command === "bangerd") ?? assert.fail("no daemon");
  const below = await until(`the daemon's work at "${stage}"`, () => {
    const now = descendantsOf(pid).filter((one) => !commandOf(one).includes("qemu-system"));
    return ready(now) ? now : undefined;
  });
  process.kill(pid, "SIGKILL");
  const ran = await ended;
  assert.equal(ran.code, 1, ran.stderr);
  assert.match(ran.stderr, /\(operation\.interrupted\)/);
  // Each has a session of its own; what it has started itself ends as its pipes break, or when it has done its work.
  await until("what the daemon had started to end", () => {
    return below.some(isRunning) || anyRunsOf(below) ? undefined : true;
  });
  const operations = await home.json<Operation[]>(["operation", "list"]);
  assert.ok(operations.every((operation) => operation.done));
  assert.notEqual((await home.json<{ pid: number }>(["daemon", "status"])).pid, pid);
}

describe("kill -9 of the daemon", { concurrency: false }, () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "banger-killed-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  const stored = (home: Home, kind: "images" | "kernels") => readdirSync(join(home.path, "state", kind));
  /** Nothing is mounted below the home, also not by what a builder had mounted. */
  const noMounts = (home: Home) => assert.doesNotMatch(readFileSync("/proc/self/mountinfo", "utf8"), RegExp(home.path));

  test("while an image is imported", async () => {
    await using home = new Home({ seeded: false });
    // An archive of one file of 6 GiB, nearly all of it a hole: it takes seconds to read and no room.
    const archive = join(directory, "large.tar");
    writeFileSync(join(directory, "file"), "");
    execFileSync("truncate", ["-s", "6G", join(directory, "file")]);
    const header = execFileSync("sh", ["-c", 'tar -cf - -C "$0" file | head -c 512', directory], { stdio: "pipe" });
    const fd = openSync(archive, "w");
    writeSync(fd, header);
    ftruncateSync(fd, 6 * 1024 ** 3 + 2048);
    closeSync(fd);
    await interrupt(home, home.start(["image", "import", archive, "--name", "large"]), "unpack");
    assert.deepEqual(stored(home, "images"), []);
  });

  test("while a kernel is imported", async () => {
    await using home = new Home({ seeded: false });
    const deb = packKernel(seedKernelTree(join(directory, "package")), join(directory, "kernel.deb"));
    await interrupt(home, home.start(["kernel", "import", deb, "--name", "large"]), "unpack");
    await home.run(["daemon", "stop"]);
    assert.deepEqual(await home.json(["kernel", "list"]), []);
    assert.deepEqual(stored(home, "kernels"), []);
  });

  test("while an image is built: the builder's processes and mounts go with the daemon", async () => {
    await using home = new Home({ seeded: false });
    await interrupt(home, home.start(["image", "pull", "debian-bookworm"]), "build", (below) =>
      below.some((pid) => commandOf(pid).includes("dpkg")),
    );
    noMounts(home);
    // What was still being written when the next daemon cleaned up, the one after it removes.
    await home.run(["daemon", "stop"]);
    assert.deepEqual(await home.json(["image", "list"]), []);
    assert.deepEqual(stored(home, "images"), []);
  });

  for (const stage of ["boot", "configure"] as const) {
    test(`while a VM starts, at stage "${stage}"`, async () => {
      await using home = new Home({ seeded: true });
      const agent = stage === "boot" ? "silent" : "silent-after-handshake";
      const env = { BANGER_DEBUG_AGENT: buildHostileAgent(agent) };
      await interrupt(home, home.start(["vm", "create", "--name", "web", ...smallVm], { env }), stage);
      const [vm] = await home.vms();
      assert.deepEqual([vm?.state, vm?.pid], ["stopped", null]);
      assert.match(vm?.reason ?? "", /the daemon ended while the VM was starting/);
      assert.deepEqual(
        home.processes().filter(({ command }) => command.includes("qemu")),
        [],
      );
      // The daemon that the client had started would still use the silent agent.
      await home.ok(["daemon", "stop"]);
      await home.ok(["vm", "start", "web"]);
      await home.ok(["vm", "exec", "web", "--", "true"]);
    });
  }
});
