// The processes that carry networks, without a VM: how one is begun, believed, given up and ended. The test stands in for the VMM.
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import type { NetworkPolicy } from "../../src/api/network-records.ts";
import { silentLogger } from "../../src/lib/log.ts";
import { startTicksOf } from "../../src/lib/process-table.ts";
import { Networks } from "../../src/network/networks.ts";
import { listNetds } from "../../src/network/process.ts";
import { Secrets } from "../../src/network/secrets/secrets.ts";
import { root as checkout } from "../support/home.ts";
import { until } from "../support/until.ts";

const policy: NetworkPolicy = {
  mode: "locked",
  name: null,
  allow: ["api.example.com:443"],
  deny: [],
  hostPorts: [],
  secrets: [],
  join: null,
};
const start = { vmmSocket: "net.sock", policy };
const call = { signal: AbortSignal.timeout(120_000) };

describe("what carries a network", { concurrency: false }, () => {
  let root: string;
  let dir: string;
  let count = 0;
  let vmId: string;
  const lost: string[] = [];
  const opened: Networks[] = [];

  before(() => {
    root = mkdtempSync(join(tmpdir(), "banger-netd-"));
  });
  beforeEach(() => {
    vmId = `vm${count++}`;
    dir = join(root, vmId);
    mkdirSync(dir, { mode: 0o700 });
    lost.length = 0;
  });
  after(async () => {
    for (const networks of opened) await networks.recover(new Set(), call);
    assert.deepEqual(listNetds(root), []);
    rmSync(root, { recursive: true });
  });

  /** As a daemon that has just started. */
  const daemon = (program = join(checkout, "dist/netd/banger-netd")) => {
    const networks = new Networks({
      vmsDir: root,
      program: () => program,
      resolvers: ["127.0.0.1:1"],
      secrets: new Secrets({ file: join(root, "secrets.json"), authorityDir: join(root, "authority") }),
      log: silentLogger,
      onLost: (id, reason) => lost.push(`${id} ${reason}`),
    });
    opened.push(networks);
    return networks;
  };
  /** Listens as QEMU does. */
  const vmm = async () => {
    const connections: Socket[] = [];
    const server: Server = createServer((socket) => connections.push(socket.on("error", () => {}).resume()));
    await new Promise<void>((resolve) => server.listen(join(dir, "net.sock"), resolve));
    return {
      connections,
      [Symbol.dispose]() {
        server.close();
        for (const socket of connections) socket.destroy();
      },
    };
  };
  const pidOf = (networks: Networks) => networks.fact(vmId).pid ?? assert.fail("it is not up");
  const files = () => readdirSync(dir).toSorted();

  test("it says how the guest is configured, keeps its socket to itself and its configuration for nobody", async () => {
    const networks = daemon();
    const addresses = await networks.ensure(vmId, start, call);
    assert.deepEqual(
      [addresses.ipv4.gateway, addresses.ipv6.gateway, addresses.interface],
      ["198.18.0.1", "fd62:616e:6765:72::1", "eth0"],
    );
    assert.equal(statSync(join(dir, "netd.sock")).mode & 0o777, 0o600);
    assert.deepEqual(files(), ["netd.log", "netd.sock"]);
    assert.deepEqual(await networks.ensure(vmId, start, call), addresses, "it is there already");
    assert.equal(listNetds(root).filter((one) => one.vmId === vmId).length, 1);
    await networks.end(vmId);
    assert.deepEqual([networks.fact(vmId).state, files()], ["off", ["netd.log"]]);
    assert.throws(() => networks.client(vmId, "box"), { code: "network.off" });
  });

  test("it ends with the VMM's connection, which is no loss; killed, it is one", async () => {
    const networks = daemon();
    {
      using machine = await vmm();
      await networks.ensure(vmId, start, call);
      await networks.attached(vmId, start, call);
      machine.connections[0]?.destroy();
      await until("its end", () => (networks.fact(vmId).state === "off" ? true : undefined));
      await networks.attached(vmId, start, call);
      assert.equal(machine.connections.length, 2, "another one comes to the same VMM");
      process.kill(pidOf(networks), "SIGKILL");
      await until("the loss to be told", () => (lost.length > 0 ? true : undefined));
    }
    assert.equal(lost.length, 1);
    assert.match(lost[0] ?? "", /ended with signal SIGKILL/);
    assert.deepEqual(files(), ["netd.log"]);
  });

  test("a later daemon takes over those that are wanted and ends the others", async () => {
    using _machine = await vmm();
    const first = daemon();
    await first.ensure(vmId, start, call);
    await first.attached(vmId, start, call);
    const pid = pidOf(first);
    first.close();
    const second = daemon();
    assert.deepEqual(await second.recover(new Set([vmId, "another"]), call), ["another"]);
    assert.equal(second.fact(vmId).pid, pid);
    second.close();
    const third = daemon();
    assert.deepEqual(await third.recover(new Set(), call), []);
    assert.equal(startTicksOf(pid), undefined);
    assert.deepEqual(files(), ["net.sock", "netd.log"]);
  });

  test("a socket on which somebody else answers is not believed", async () => {
    using _machine = await vmm();
    const first = daemon();
    await first.ensure(vmId, start, call);
    const pid = pidOf(first);
    first.close();
    rmSync(join(dir, "netd.sock"));
    const other = createHttpServer((_request, response) => {
      response.setHeader("content-type", "application/proto").end();
    });
    await new Promise<void>((resolve) => other.listen(join(dir, "netd.sock"), resolve));
    try {
      assert.deepEqual(await daemon().recover(new Set([vmId]), call), [vmId]);
      assert.equal(startTicksOf(pid), undefined, "what cannot be talked to is ended");
    } finally {
      other.close();
    }
  });

  test("a start that cannot be leaves nothing and says why", async () => {
    const networks = daemon();
    const wrong = { ...start, policy: { ...policy, allow: ["224.0.0.1"] } };
    await assert.rejects(networks.ensure(vmId, wrong, call), {
      code: "network.policy-invalid",
      message: /multicast addresses cannot be opened/,
    });
    assert.deepEqual([files(), networks.fact(vmId).state], [["netd.log"], "off"]);
    const aborted = AbortSignal.abort(new Error("given up"));
    await assert.rejects(networks.ensure(vmId, start, { signal: aborted }), /given up/);
    const program = join(root, "banger-netd-that-ends");
    writeFileSync(program, "#!/bin/sh\necho no such luck >&2\nexit 1\n");
    chmodSync(program, 0o755);
    await assert.rejects(daemon(program).ensure(vmId, start, call), {
      code: "network.failed",
      message: "the network of the VM did not start: no such luck",
    });
    assert.ok(!existsSync(join(dir, "netd.sock")));
    assert.deepEqual(files(), ["netd.log"]);
    rmSync(program);
  });
});
