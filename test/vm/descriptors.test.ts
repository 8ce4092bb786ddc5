// A daemon that may open no more files says so, does nothing by halves, and goes on once it may.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { leftOver } from "../support/after-crash.ts";
import { CrashHome, smallSpec } from "../support/crash-home.ts";
import { toBangerError } from "../../src/lib/errors.ts";

/** What a daemon may say that has no descriptor left; one that cannot even take a connection says nothing. */
const clear = /EMFILE|too many open files|cannot be reached|not answer|connection|socket hang up|ECONNRESET/i;

describe("too few file descriptors", { concurrency: false }, () => {
  let home: CrashHome;
  let pid: number;
  before(async () => {
    home = new CrashHome();
    await home.makeMarked("web");
    ({ pid } = await home.client.call("daemon.status", {}));
  });
  after(() => home[Symbol.asyncDispose]());

  const openFiles = () => readdirSync(`/proc/${pid}/fd`).length;
  const allow = (count: number | string) => execFileSync("prlimit", ["--pid", String(pid), `--nofile=${count}:`]);
  const softLimit = () => /^Max open files +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"))?.[1] ?? "";

  for (const spare of [0, 3, 12]) {
    test(`${spare} to spare, and more is asked for`, async () => {
      const before = softLimit();
      allow(openFiles() + spare);
      const asked = [
        ...Array.from({ length: 4 }, () => home.client.operate("vm.create", { ...smallSpec })),
        ...Array.from({ length: 8 }, () => home.output("web", "true")),
        home.client.operate("snapshot.create", { vm: "web" }),
        ...Array.from({ length: 4 }, () => home.client.call("vm.forward", { vm: "web", add: [{ target: "80" }] })),
      ];
      const outcomes = await Promise.allSettled(asked);
      allow(before);
      const failures = outcomes.flatMap((one) => (one.status === "rejected" ? [toBangerError(one.reason)] : []));
      assert.ok(failures.length > 0, "nothing failed: there were descriptors enough");
      for (const { code, message } of failures) assert.match(`${code} ${message}`, clear);
      assert.equal((await home.client.call("daemon.status", {})).pid, pid, "the daemon ended");
      for (const { name, state } of await home.records()) {
        if (name !== "web") await home.remove(name);
        else assert.equal(state, "running");
      }
      const { forwards } = await home.client.call("vm.forwards", { vm: "web" });
      const remove = forwards.map(({ listen }) => listen).filter((listen) => listen.startsWith("127.0.0.1:"));
      if (remove.length > 0) await home.client.call("vm.unforward", { vm: "web", remove });
      assert.equal(await home.readMark("web"), (await home.find("web"))?.id);
      // What could not be removed without a descriptor, the next daemon removes.
      await home.kill();
      ({ pid } = await home.client.call("daemon.status", {}));
      assert.deepEqual(await leftOver(home), []);
    });
  }
});
