// Ports and sockets of the host that lead into a real VM, over restarts of the daemon and of the VM.
import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import type { ForwardState } from "../../src/api/forward-methods.ts";
import type { GuestPort } from "../../src/api/guest-methods.ts";
import type { VmRecord } from "../../src/api/records.ts";
import { parseEndpoint, type Endpoint } from "../../src/lib/endpoint.ts";
import { Home, smallVm } from "../support/home.ts";
import { isRunning } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** Answers with the length and the bytes of all that was said, once the other side has ended. Port 7001 ends first, and listens on. */
const guestProgram = `
import socket, socketserver, threading
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        said = self.rfile.read()
        self.wfile.write(b"%d:" % len(said) + said)
class EndsFirst(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"HTTP/1.0 200 OK\\r\\n\\r\\nhello")
        self.wfile.flush()
        self.request.shutdown(socket.SHUT_WR)
        said = self.rfile.read()
        open("/root/said", "wb").write(said)
class Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512
class Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
servers = [Tcp(("127.0.0.1", 7000), Echo), Tcp(("127.0.0.1", 7001), EndsFirst), Unix("/run/echo.sock", Echo)]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
`;

describe("forwards", { concurrency: false }, () => {
  let home: Home;
  let published: string;
  let dnsPort: number;
  const list = (vm = "web") => home.json<ForwardState[]>(["vm", "forward", vm]);
  const add = (...specs: string[]) => home.json<ForwardState[]>(["vm", "forward", "web", ...specs]);
  const serve = async () => {
    await home.ok(["vm", "exec", "web", "--", "sh", "-c", "rm -f /run/echo.sock; cat >/root/serve.py"], {
      stdin: guestProgram,
    });
    const start = "cd /root && setsid python3 serve.py >/dev/null 2>&1 </dev/null &";
    await home.ok(["vm", "exec", "web", "--", "sh", "-c", start]);
    await home.ok(["vm", "wait", "web", "--for", "port:7001", "--timeout", "60s"]);
    await home.ok(["vm", "wait", "web", "--for", "port:7000", "--timeout", "60s"]);
  };
  before(async () => {
    home = new Home({ seeded: true });
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    dnsPort = (probe.address() as AddressInfo).port;
    probe.close();
    writeFileSync(join(home.path, "config.toml"), `[dns]\nport = ${dnsPort}\n`);
    await home.ok(["vm", "create", "--name", "web", "--publish", "0:7000", ...smallVm]);
    await serve();
    published = (await list())[0]?.listen ?? "";
  });
  after(() => home[Symbol.asyncDispose]());

  test("a published port leads in, on 127.0.0.1 and on the VM's own address", async () => {
    const { address, forwards } = await home.json<VmRecord>(["vm", "show", "web"]);
    assert.match(address ?? "", /^127\.77\.\d+\.\d+$/);
    assert.deepEqual(
      forwards.map(({ listen }) => listen),
      [published, `${address}:7000`],
    );
    for (const { listen } of forwards) assert.equal(await exchange(listen, "through"), "7:through");
  });

  test("its name is answered with that address, and follows a rename", async () => {
    const { address } = await home.json<VmRecord>(["vm", "show", "web"]);
    const status = await home.json<{ listening: boolean; problem: string }>(["dns", "status"]);
    assert.deepEqual([status.listening, status.problem], [true, ""]);
    const resolver = new Resolver({ timeout: 20_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${dnsPort}`]);
    assert.deepEqual(await resolver.resolve4("web.vm"), [address]);
    await home.ok(["vm", "rename", "web", "site"]);
    await assert.rejects(resolver.resolve4("web.vm"), { code: "ENOTFOUND" });
    assert.deepEqual(await resolver.resolve4("site.vm"), [address]);
    await home.ok(["vm", "rename", "site", "web"]);
    assert.match((await home.ok(["dns", "setup", "--resolver", "dnsmasq"])).stdout, /server=\/vm\/127\.0\.0\.1#\d+/);
  });

  test("it works again after the daemon was killed, for more than a connection's buffers, too", async () => {
    const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
    process.kill(pid, "SIGKILL");
    await until("the daemon to be gone", () => (isRunning(pid) ? undefined : true));
    await until("its port to be free", async () => {
      const error = (await exchange(published, "x").catch((thrown: unknown) => thrown)) as NodeJS.ErrnoException;
      return error.code === "ECONNREFUSED" ? true : undefined;
    });
    assert.ok((await list()).every(({ listening }) => listening));
    const large = "0123456789abcdef".repeat(128 * 1024);
    assert.equal(await exchange(published, large), `${large.length}:${large}`);
  });

  test("sockets of both sides, closed to others, never in the place of a file", async () => {
    const [ours, theirs] = [join(home.path, "ours.sock"), join(home.path, "file")];
    const made = await add(`${ours}:7000`, `${ours}2:/run/echo.sock`, "0:/run/echo.sock");
    const port = made.find(({ listen, target }) => target === "/run/echo.sock" && !listen.startsWith("/"));
    for (const listen of [ours, `${ours}2`, port?.listen ?? ""]) {
      assert.equal(await exchange(listen, "hi"), "2:hi", listen);
    }
    assert.equal(statSync(ours).mode & 0o777, 0o600);
    const nobody = `${ours}3`;
    await add(`${nobody}:81`);
    const { pid } = await home.json<{ pid: number }>(["daemon", "status"]);
    assert.equal(await text(connect({ path: nobody })), "");
    await home.ok(["vm", "forward", "web", "--remove", nobody]);
    assert.equal((await home.json<{ pid: number }>(["daemon", "status"])).pid, pid, "nothing harmed the daemon");
    writeFileSync(theirs, "precious");
    const refused = await home.run(["vm", "forward", "web", "0:7000", `${theirs}:7000`]);
    assert.match(refused.stderr, /exists already \(port\.in-use\)/);
    assert.deepEqual(await list(), made, "all or none");
    await home.ok(["vm", "forward", "web", "--remove", `${ours}2`]);
    assert.equal(existsSync(`${ours}2`), false);
  });

  test("each direction ends by itself", async () => {
    const [first] = (await add("0:7001")).slice(-1);
    const socket = connect({ ...optionsOf(first?.listen ?? ""), allowHalfOpen: true });
    assert.match(await text(socket), /hello$/);
    socket.end("said after the guest's end");
    await once(socket, "close");
    await until("what was said to be in the guest", async () => {
      const { stdout } = await home.run(["vm", "exec", "web", "--", "cat", "/root/said"]);
      return stdout === "said after the guest's end" ? true : undefined;
    });
  });

  test("200 connections at the same time, none lost or mixed up, and none left", async () => {
    const said = Array.from({ length: 200 }, (_, at) => `${at} `.repeat(200 + at));
    const answers = await Promise.all(said.map((one) => exchange(published, one)));
    assert.deepEqual(
      answers,
      said.map((one) => `${one.length}:${one}`),
    );
    await until("all connections to be over", async () =>
      (await list()).every(({ connections }) => connections === 0) ? true : undefined,
    );
  });

  test("who has a port is told, and what helps; a target that refuses resets its connection only", async () => {
    const mine = createServer().listen(0, "127.0.0.1");
    await once(mine, "listening");
    const { port } = mine.address() as AddressInfo;
    const taken = await home.run(["vm", "forward", "web", `${port}:7000`]);
    assert.match(taken.stderr, new RegExp(`port ${port} of 127.0.0.1 is in use by .*pid ${process.pid}.*port.in-use`));
    const early = await home.run(["vm", "create", "--name", "other", "-p", `${published}:80`, ...smallVm]);
    assert.match(early.stderr, /leads into VM "web" already \(localhost:7000\) \(port\.in-use\)/);
    assert.match(early.stderr, new RegExp(`banger vm forward web --remove ${published}`));
    assert.deepEqual(
      (await home.vms()).map(({ name }) => name),
      ["web"],
    );
    mine.close();
    const wide = await home.ok(["vm", "forward", "web", "0.0.0.0:0:81"]);
    const [warning, listen = ""] = /warning: other machines reach (0\.0\.0\.0:\d+)/.exec(wide.stderr) ?? [];
    assert.ok(warning, wide.stderr);
    await assert.rejects(exchange(listen, "x"), /ECONNRESET/);
    await home.ok(["vm", "forward", "web", "--remove", listen]);
  });

  test("vm ports names the URL of what speaks HTTP", async () => {
    const { listen } = (await list()).find(({ target }) => target === "localhost:7001") ?? {};
    const url = (await home.json<GuestPort[]>(["vm", "ports", "web"])).find(({ port }) => port === 7001)?.url;
    assert.equal(url, `http://${listen}/`);
    assert.equal(await (await fetch(url ?? "")).text(), "hello");
  });

  test("at the next start what was published is back, and what was added is gone", async () => {
    const before = await list();
    await home.ok(["vm", "restart", "web"]);
    await serve();
    const { address } = await home.json<VmRecord>(["vm", "show", "web"]);
    assert.deepEqual(
      (await list()).map(({ listen, listening }) => [listen, listening]),
      [
        [published, true],
        [`${address}:7000`, true],
      ],
    );
    assert.equal(await exchange(published, "again"), "5:again");
    for (const { listen } of before.filter((one) => !one.published)) {
      await assert.rejects(exchange(listen, "x"), /ECONNREFUSED|ENOENT/);
    }
  });

  test("a pause keeps them, a fork has none and another address, and delete leaves nothing", async () => {
    const [added] = (await add("0:7001")).filter((one) => !one.published);
    const held = connect({ ...optionsOf(added?.listen ?? ""), allowHalfOpen: true }).on("error", () => {});
    await once(held, "data");
    await home.ok(["vm", "fork", "web", "--name", "twin"]);
    const [twin, web] = await home.vms();
    assert.deepEqual([twin?.name, twin?.forwards], ["twin", []]);
    assert.ok(twin?.address !== null && twin?.address !== web?.address);
    held.end();
    await home.ok(["vm", "pause", "web"]);
    await assert.rejects(exchange(published, "x"), /ECONNREFUSED/);
    await home.ok(["vm", "resume", "web"]);
    assert.equal(await exchange(published, "awake"), "5:awake");
    const open = connect(optionsOf(published));
    await once(open, "connect");
    const ended = new Promise((resolve) => open.on("error", () => {}).once("close", resolve));
    const were = await list();
    await home.ok(["vm", "delete", "web", "twin"]);
    await ended;
    for (const { listen } of were) await assert.rejects(exchange(listen, "x"), /ECONNREFUSED/);
  });
});

function optionsOf(listen: string): { path: string } | { host: string; port: number } {
  const endpoint: Endpoint = parseEndpoint(listen, "127.0.0.1");
  if ("path" in endpoint) return endpoint;
  return { ...endpoint, host: endpoint.host === "0.0.0.0" ? "127.0.0.1" : endpoint.host };
}

/** Says something, ends, and returns all that is answered. */
async function exchange(listen: string, said: string): Promise<string> {
  const socket = connect({ ...optionsOf(listen), allowHalfOpen: true });
  socket.end(said);
  return await text(socket);
}
