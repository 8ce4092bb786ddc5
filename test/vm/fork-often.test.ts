// A VM that is forked again and again while it writes: it loses nothing, and does not get slower with each fork.
import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { VmRecord } from "../../src/api/records.ts";
import { maxLayers } from "../../src/vm/snapshot/compact.ts";
import { Home, smallVm } from "../support/home.ts";
import { until } from "../support/until.ts";

const forks = 24;
/** The VM is forked while layers are merged, so some more than would be merged may be there. */
const mostLayers = maxLayers + 6;

test(`a VM that was forked ${forks} times has not ${forks} layers open`, async () => {
  await using home = new Home({ seeded: true });
  const exec = async (vm: string, script: string) =>
    (await home.ok(["vm", "exec", vm, "--", "sh", "-c", script])).stdout.trim();
  await home.ok(["vm", "create", "--name", "source", ...smallVm]);
  // Numbers in order, on both disks, and blobs with their sums, which are written over all the time.
  const blob = "head -c 60000 /dev/urandom | tee /root/blob$((i%5)) | sha256sum > /root/sum$((i%5))";
  const write = `i=0; while [ ! -e /dev/shm/stop ]; do i=$((i+1)); echo $i >> /root/log; echo $i >> /opt/log; ${blob}; sync; done; touch /dev/shm/done`;
  await exec("source", `setsid sh -c '${write}' </dev/null >/dev/null 2>&1 &`);
  for (let fork = 0; fork < forks; fork++) {
    await home.ok(["vm", "fork", "source", "--name", "fork"]);
    await home.ok(["vm", "delete", "fork"]);
  }
  const { pid } = await home.json<VmRecord>(["vm", "show", "source"]);
  for (const serial of ["overlay", "work"]) {
    await until(`the layers of disk ${serial} to be closed`, () => {
      return openLayers(pid, serial) <= mostLayers ? true : undefined;
    });
  }
  await exec("source", "touch /dev/shm/stop");
  await until("the writer to end", async () =>
    (await exec("source", "ls /dev/shm/done || true")) === "" ? undefined : true,
  );
  const check = async () => {
    for (const log of ["/root/log", "/opt/log"]) {
      const lines = (await exec("source", `cat ${log}`)).split("\n").map(Number);
      assert.deepEqual(
        lines,
        lines.map((_, index) => index + 1),
      );
      assert.ok(lines.length > forks);
    }
    for (let at = 0; at < 5; at++) {
      await exec("source", `[ "$(sha256sum < /root/blob${at})" = "$(cat /root/sum${at})" ]`);
    }
  };
  await exec("source", "echo 3 > /proc/sys/vm/drop_caches");
  await check();
  await home.ok(["vm", "restart", "source"]);
  await check();
  await home.ok(["vm", "delete", "source"]);
  assert.deepEqual(readdirSync(join(home.path, "state/snapshots")), []);
});

function openLayers(pid: number | null, serial: string): number {
  const dir = `/proc/${pid}/fd`;
  const files = readdirSync(dir).map((fd) => readlinkSync(join(dir, fd)));
  return files.filter((path) => path.includes(`/${serial}.`) && path.includes(".qcow2")).length;
}
