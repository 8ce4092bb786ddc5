// What is seen of a running VM from outside: what it uses, what runs in it, what listens there.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { GuestPort, VmStats } from "../../src/api/guest-methods.ts";
import { finished, Home, smallVm } from "../support/home.ts";
import { until } from "../support/until.ts";

describe("a look into a VM", { concurrency: false }, () => {
  let home: Home;
  before(async () => {
    home = new Home({ seeded: true });
    await home.ok(["vm", "create", "--name", "web", ...smallVm]);
  });
  after(() => home[Symbol.asyncDispose]());

  test("ping and health: yes, and with exit code 1 no", async () => {
    assert.match((await home.ok(["vm", "ping", "web"])).stdout, /^alive \(\d+\.\d ms\)\n$/);
    assert.match((await home.ok(["vm", "health", "web"])).stdout, /^healthy, up /);
    await home.ok(["vm", "create", "--no-start", "--name", "off", ...smallVm]);
    const off = await home.run(["vm", "ping", "off"]);
    assert.deepEqual([off.code, off.stdout], [1, 'no answer: VM "off" is not running (created)\n']);
    const unhealthy = await home.run(["vm", "health", "off"]);
    assert.deepEqual([unhealthy.code, unhealthy.stdout], [1, 'not healthy: VM "off" is not running (created)\n']);
    assert.match((await home.run(["vm", "health", "none"])).stderr, /vm\.not-found/);
    assert.match((await home.run(["vm", "ping", "none"])).stderr, /vm\.not-found/);
  });

  test("stats of what runs; top shows what is busy", async () => {
    const busy = home.start(["vm", "exec", "web", "--", "sh", "-c", "echo on; while :; do :; done"]);
    await new Promise<void>((resolve) => busy.stdout?.once("data", () => resolve()));
    const [stats, ...others] = await home.json<(VmStats & { cpuPercent: number })[]>(["vm", "stats"]);
    assert.deepEqual([stats?.name, others], ["web", []]);
    assert.ok((stats?.cpuPercent ?? 0) > 5, JSON.stringify(stats));
    const { memoryTotalBytes = 0, memoryAvailableBytes = 0, disks = [] } = stats?.guest ?? {};
    assert.ok(memoryAvailableBytes > 0 && memoryAvailableBytes < memoryTotalBytes);
    assert.ok(disks.some(({ mountPoint, totalBytes }) => mountPoint === "/root" && totalBytes > 200 * 2 ** 20));
    const [first] = await home.json<{ command: string; cpuPercent: number; state: string }[]>(["vm", "top", "web"]);
    assert.match(first?.command ?? "", /^sh -c echo on; while/);
    assert.ok((first?.cpuPercent ?? 0) > 30 && first?.state === "R", JSON.stringify(first));
    const ended = finished(busy);
    busy.kill("SIGINT");
    await ended;
  });

  test("ports: who listens and whether it is HTTP, again at each change", async () => {
    const follow = home.start(["vm", "ports", "web", "--follow", "--json"]);
    let seen: GuestPort[][] = [];
    let text = "";
    follow.stdout?.setEncoding("utf8").on("data", (more: string) => {
      text += more;
      seen = text
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as GuestPort[]);
    });
    await until("the first list", () => seen[0]);
    const server = home.start([
      "vm",
      "exec",
      "web",
      "--",
      "python3",
      "-m",
      "http.server",
      "8080",
      "--bind",
      "127.0.0.1",
    ]);
    const found = await until("a list with a web server on 8080", () =>
      seen.at(-1)?.find(({ http, port }) => http && port === 8080),
    );
    assert.deepEqual(
      { ...found, pid: 0 },
      {
        ...{ protocol: "tcp", address: "127.0.0.1", port: 8080, pid: 0, process: "python3", http: true, url: null },
        command: "python3 -m http.server 8080 --bind 127.0.0.1",
      },
    );
    assert.match((await home.ok(["vm", "ports", "web"])).stderr, /^next: banger vm forward web 8080$/m);
    const ended = finished(server);
    server.kill("SIGINT");
    await ended;
    await until("a list without port 8080", () => (seen.at(-1)?.some(({ port }) => port === 8080) ? undefined : true));
    const left = finished(follow);
    follow.kill("SIGINT");
    assert.equal((await left).code, 130);
    assert.match((await home.ok(["vm", "ports", "web"])).stdout, /^PROTO +ADDRESS +PORT/);
  });
});
