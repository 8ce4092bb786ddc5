// The network of real VMs through its whole life: given, changed, lost, found again, copied and taken away. The server that they reach is a
// port of this host's loopback, opened on purpose.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { NetworkRecord, NetworkState } from "../../src/api/network-records.ts";
import { listNetds } from "../../src/network/process.ts";
import { Home, smallVm } from "../support/home.ts";
import { until } from "../support/until.ts";

describe("the network of a VM", { concurrency: false }, () => {
  let home: Home;
  let server: Server;
  let port: number;
  const open = new Set<Socket>();

  before(async () => {
    home = new Home({ seeded: true });
    // Says a line and listens on: a connection stays open until somebody ends it.
    server = createServer((socket) => {
      open.add(socket);
      socket.on("close", () => open.delete(socket)).on("error", () => {});
      socket.write("hello\n");
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    port = (server.address() as { port: number }).port;
  });
  after(async () => {
    server.close();
    for (const socket of open) socket.destroy();
    await home[Symbol.asyncDispose]();
  });

  const sh = (vm: string, script: string) => home.run(["vm", "exec", vm, "--", "bash", "-c", script]);
  /** What the server says to a VM, or what the VM's shell says when it cannot connect. */
  const greeting = async (vm: string, to = "host.vm", at = port) => {
    const { stdout, stderr } = await sh(vm, `exec 3<>/dev/tcp/${to}/${at} && head -n 1 <&3`);
    return stdout.trim() || stderr.trim().split(": ").at(-1);
  };
  const policy = (vm: string) => home.json<NetworkState>(["net", "policy", vm]);
  const log = async (vm: string) =>
    (await home.ok(["net", "log", vm, "--json"])).stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as NetworkRecord);
  const netds = () => listNetds(join(home.path, "state/vms"));
  const noneIsLeft = async (vm: string) => {
    const { id } = (await home.vms()).find(({ name }) => name === vm) ?? { id: "none" };
    await until(`the network of ${vm} to go`, () => (netds().some(({ vmId }) => vmId === id) ? undefined : true));
    const files = readdirSync(join(home.path, "state/vms", id)).filter(
      (name) => name.startsWith("netd") && name !== "netd.log",
    );
    assert.deepEqual(files, []);
  };

  test("by default there is none: no process, no interface, no name server", async () => {
    await home.ok(["vm", "create", "--name", "plain", ...smallVm]);
    assert.deepEqual(netds(), []);
    const seen = await sh("plain", "ls /sys/class/net; ! grep -q nameserver /etc/resolv.conf");
    assert.deepEqual([seen.code, seen.stdout.trim()], [0, "lo"]);
    assert.equal(await greeting("plain", "198.18.0.3"), "Network is unreachable");
    const refused = await home.run(["net", "log", "plain"]);
    assert.match(refused.stderr, /has no network \(network\.off\)\n.*hint: banger vm set plain --network balanced/s);
    assert.deepEqual([(await policy("plain")).mode, (await policy("plain")).state], ["none", "off"]);
  });

  test("one that runs is given a network, and loses it again, at once", async () => {
    await home.ok(["vm", "set", "plain", "--network", "locked"]);
    assert.equal(await greeting("plain", "198.18.0.3"), "Connection refused");
    await home.ok(["net", "policy", "plain", "--allow-host", String(port)]);
    assert.equal(await greeting("plain"), "hello");
    await home.ok(["vm", "set", "plain", "--network", "none"]);
    await noneIsLeft("plain");
    assert.equal(await greeting("plain", "198.18.0.3"), "Network is unreachable");
    await home.ok(["net", "policy", "plain", "--allow-host", String(port)]);
    assert.equal(await greeting("plain"), "hello");
    await home.ok(["vm", "delete", "plain"]);
  });

  test("run: what was opened is reached, the rest is refused, and nothing is left of either", async () => {
    const script = `head -n 1 </dev/tcp/host.vm/${port}; exec 4<>/dev/tcp/host.vm/1`;
    const options = ["--rm", ...smallVm, "--allow-host", String(port)];
    const ran = await home.run(["vm", "run", ...options, "--", "bash", "-c", script]);
    assert.match(ran.stdout, /^hello\n$/);
    assert.match(ran.stderr, /Connection refused/);
    assert.deepEqual(netds(), []);
    const locked = await home.json<NetworkState>(["net", "policy", (await makeBox()).name]);
    assert.deepEqual([locked.mode, locked.hostPorts, locked.state], ["locked", [port], "up"]);
  });

  const makeBox = () =>
    home.json<{ name: string }>(["vm", "create", "--name", "box", ...smallVm, "--allow-host", String(port)]);

  test("both families are configured, and the image needs no tool for it", async () => {
    const seen = await sh("box", "cat /sys/class/net/eth0/address /etc/resolv.conf; cut -c1-32 /proc/net/if_inet6");
    for (const part of ["02:62:61:6e:67:02", "nameserver 198.18.0.1", "fd62616e676500720000000000000002"]) {
      assert.ok(seen.stdout.includes(part), `${part} in ${seen.stdout}`);
    }
    assert.equal(await greeting("box", "198.18.0.3"), "hello");
    assert.equal(await greeting("box", "fd62:616e:6765:72::3"), "hello");
  });

  test("what is denied says which rule to add, and the rule that it says helps", async () => {
    assert.equal(await greeting("box", "203.0.113.7", 443), "Connection refused");
    assert.equal(await greeting("box", "host.vm", 1), "Connection refused");
    const denied = (await log("box")).filter(({ event }) => event === "denied");
    assert.deepEqual(
      denied.map(({ address, port: to, verdict }) => [address, to, verdict.suggestion]),
      [
        ["203.0.113.7", 443, "--allow 203.0.113.7:443"],
        ["fd62:616e:6765:72::3", 1, "--allow-host 1"],
        ["198.18.0.3", 1, "--allow-host 1"],
      ],
    );
    const text = (await home.ok(["net", "log", "box", "--denied"])).stdout;
    assert.match(
      text,
      /denied {4}203\.0\.113\.7:443: [a-z-]+, by mode locked {2}# banger net policy box --allow 203\.0\.113\.7:443\n/,
    );
    const check = await home.run(["net", "check", "box", "203.0.113.7:443"]);
    assert.deepEqual([check.code, check.stdout.startsWith("denied")], [1, true]);
    await home.ok(["net", "policy", "box", "--allow", "203.0.113.7:443"]);
    const allowed = await home.ok(["net", "check", "box", "203.0.113.7:443"]);
    assert.equal(allowed.stdout, "allowed  by allow 203.0.113.7:443\n");
    await home.ok(["net", "policy", "box", "--remove", "203.0.113.7:443"]);
    assert.equal((await home.run(["net", "check", "box", "203.0.113.7:443"])).code, 1);
  });

  test("a change cuts what is open and not allowed any more; what cannot be leaves everything as it is", async () => {
    const exec = home.start([
      "vm",
      "exec",
      "box",
      "--",
      "bash",
      "-c",
      `exec 3<>/dev/tcp/host.vm/${port}; cat <&3; echo over`,
    ]);
    let said = "";
    exec.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await until("the connection", () => (said.includes("hello") ? true : undefined));
    const refused = await home.run(["net", "policy", "box", "--allow", "127.0.0.1:80"]);
    assert.match(refused.stderr, /by --allow-host 80 \(usage\)/);
    const never = await home.run(["net", "policy", "box", "--allow", "224.0.0.1"]);
    assert.match(never.stderr, /"224\.0\.0\.1": multicast addresses cannot be opened \(network\.policy-invalid\)/);
    assert.equal((await policy("box")).hostPorts.length, 1);
    const changed = await home.ok(["net", "policy", "box", "--remove", `host.vm:${port}`]);
    assert.match(changed.stderr, /1 open connection was cut/);
    await until("the connection to end", () => (said.includes("over") ? true : undefined));
    assert.equal(await greeting("box", "198.18.0.3"), "Connection refused");
    await home.ok(["net", "policy", "box", "--allow-host", String(port)]);
  });

  test("a new daemon finds it again, with its connections and its policy", async () => {
    const [before] = netds();
    const exec = home.start(["vm", "exec", "box", "--", "bash", "-c", `exec 3<>/dev/tcp/host.vm/${port}; cat <&3`]);
    await until("the connection", () => (open.size > 0 ? true : undefined));
    process.kill((await home.json<{ pid: number }>(["daemon", "status"])).pid, "SIGKILL");
    assert.deepEqual([(await policy("box")).state, (await policy("box")).pid], ["up", before?.pid]);
    assert.equal(await greeting("box"), "hello");
    assert.equal(await greeting("box", "203.0.113.7", 443), "Connection refused");
    exec.kill();
  });

  test("when its process dies the VM gets another one; when that is of no use it says what to do", async () => {
    const kill = async () => {
      const { pid } = await policy("box");
      assert.ok(pid !== null);
      process.kill(pid, "SIGKILL");
      return await until("the end to be seen", async () => {
        const now = await policy("box");
        return now.pid === pid ? undefined : now;
      });
    };
    await kill();
    await until("another one", async () => ((await policy("box")).state === "up" ? true : undefined));
    assert.equal(await greeting("box"), "hello");
    const failed = await until("it to be given up", async () => {
      const now = await policy("box");
      return now.state === "up" ? void (await kill()) : now.reason.includes("started anew") ? undefined : now;
    });
    assert.match(failed.reason, /ended with signal SIGKILL/);
    const state = await until("it to stay gone", async () => {
      const now = await policy("box");
      if (now.state === "up") await kill();
      return (await home.run(["net", "log", "box"])).stderr.includes("net restart box") ? now : undefined;
    });
    assert.equal(state.state, "failed");
    assert.match((await home.ok(["vm", "list"])).stdout, /locked, failed/);
    assert.equal((await home.ok(["net", "restart", "box"])).stdout, "locked\n");
    assert.equal(await greeting("box"), "hello");
  });

  test("a fork has a network of its own, with a policy of its own", async () => {
    await home.ok(["vm", "fork", "box", "--name", "twin"]);
    assert.deepEqual([await greeting("box"), await greeting("twin")], ["hello", "hello"]);
    await home.ok(["net", "policy", "twin", "--set", "locked"]);
    assert.deepEqual([await greeting("box"), await greeting("twin", "198.18.0.3")], ["hello", "Connection refused"]);
    await home.run(["vm", "exec", "twin", "--", "sh", "-c", "echo o >/proc/sysrq-trigger"]);
    const off = await until("the fork to power off", async () => {
      const twin = (await home.vms()).find(({ name }) => name === "twin");
      return twin?.state === "stopped" ? twin : undefined;
    });
    assert.equal(off.reason, "the guest powered off");
    await home.ok(["vm", "delete", "twin"]);
    assert.equal(netds().length, 1);
  });

  test("pause, resume, restart and snapshots: there when it runs, gone when it does not", async () => {
    await home.ok(["vm", "pause", "box"]);
    await noneIsLeft("box");
    await home.ok(["vm", "resume", "box"]);
    assert.equal(await greeting("box"), "hello");
    await home.ok(["vm", "snapshot", "create", "box", "wired"]);
    await home.ok(["vm", "restart", "box"]);
    assert.equal(await greeting("box"), "hello");
    await home.ok(["vm", "create", "--name", "copy", "--warm-from", "wired"]);
    assert.equal(await greeting("copy"), "hello");
    await home.ok(["vm", "delete", "copy"]);
    await home.ok(["vm", "create", "--name", "copy", "--warm-from", "wired", "--network", "none"]);
    await noneIsLeft("copy");
    assert.equal(await greeting("copy", "198.18.0.3"), "Network is unreachable");
    await home.ok(["vm", "delete", "copy"]);
    await home.ok(["vm", "stop", "box"]);
    await noneIsLeft("box");
  });

  test("image warm has a network while its command runs, and what is made of it only when it is asked for", async () => {
    const options = ["--name", "warm", ...smallVm, "--allow-host", String(port)];
    const ask = ["--", "bash", "-c", `head -n 1 </dev/tcp/host.vm/${port}`];
    await home.ok(["image", "warm", "debian-bookworm", ...options, ...ask]);
    await home.ok(["vm", "create", "--name", "copy", "--warm-from", "warm"]);
    assert.equal((await policy("copy")).mode, "none");
    assert.equal(await greeting("copy", "198.18.0.3"), "Network is unreachable");
    await home.ok(["vm", "delete", "copy"]);
    const ran = await home.ok(["vm", "run", "--rm", "--warm-from", "warm", "--allow-host", String(port), ...ask]);
    assert.equal(ran.stdout, "hello\n");
    await home.ok(["vm", "snapshot", "delete", "warm"]);
  });

  test("a VMM that dies takes it along", async () => {
    await home.ok(["vm", "start", "box"]);
    assert.equal(await greeting("box"), "hello");
    const { pid } = await home.json<{ pid: number }>(["vm", "show", "box"]);
    process.kill(pid, "SIGKILL");
    await until("the VM to be stopped", async () =>
      (await home.json<{ state: string }>(["vm", "show", "box"])).state === "stopped" ? true : undefined,
    );
    await noneIsLeft("box");
    await home.ok(["vm", "delete", "box"]);
  });

  test("without the program a VM with a network does not start, and one without does", async () => {
    await home.ok(["daemon", "stop"]);
    const env = { BANGER_DEBUG_NETD: join(home.path, "none") };
    const refused = await home.run(["vm", "run", "--rm", ...smallVm, "--nat", "--", "true"], { env });
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /the program that carries the network of VMs is not there.*\(network\.missing\)\n.*make build/s,
    );
    assert.deepEqual(await home.vms(), []);
    await home.ok(["vm", "run", "--rm", ...smallVm, "--", "true"], { env });
    await home.ok(["daemon", "stop"]);
  });
});
