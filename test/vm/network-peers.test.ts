// VMs that are in one network find and reach each other, and nobody else does.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { NetworkState } from "../../src/api/network-records.ts";
import type { PeerNetwork } from "../../src/api/peer-methods.ts";
import { Home, smallVm } from "../support/home.ts";
import { until } from "../support/until.ts";

describe("a network of VMs", { concurrency: false }, () => {
  let home: Home;
  before(() => {
    home = new Home({ seeded: true });
  });
  after(() => home[Symbol.asyncDispose]());

  const make = (name: string, ...options: string[]) =>
    home.ok(["vm", "create", "--name", name, ...smallVm, ...options]);
  const sh = async (vm: string, script: string) => {
    const { stdout, stderr } = await home.run(["vm", "exec", vm, "--", "bash", "-c", script]);
    return stdout.trim() || stderr.trim();
  };
  /** The page that the server of a VM has for another one. */
  const page = (from: string, to: string) => sh(from, `curl -sS -m 20 http://${to}.vm:8000/name`);
  const serve = async (vm: string) => {
    const server = "exec setsid python3 -m http.server 8000 --bind :: --directory /srv >/dev/null 2>&1 </dev/null";
    await sh(vm, `cat /etc/hostname >/srv/name; ${server} &`);
    await home.ok(["vm", "wait", vm, "--for", "port:8000", "--timeout", "60s"]);
  };

  test("members reach each other's ports by name, others neither", async () => {
    assert.match(
      (await home.run(["vm", "run", "--join", "dev", "--", "true"])).stderr,
      /no network "dev" \(network\.not-found\)/,
    );
    await home.ok(["network", "create", "dev"]);
    await home.ok(["network", "create", "dev"]);
    await make("db", "--join", "dev");
    await serve("db");
    await make("web", "--join", "dev");
    await make("apart", "--network", "balanced");
    assert.equal(await page("web", "db"), "db");
    assert.match(await page("apart", "db"), /Could not resolve host/);
    const [dev] = await home.json<PeerNetwork[]>(["network", "list"]);
    assert.deepEqual(dev?.members.map(({ vm, up }) => [vm, up]).toSorted(), [
      ["db", true],
      ["web", true],
    ]);
    const address = dev?.members.find(({ vm }) => vm === "db")?.address ?? "";
    assert.equal(await sh("web", `curl -sS -m 20 http://${address}:8000/name`), "db");
    assert.equal(await sh("web", "curl -sS -6 -m 20 http://db.vm:8000/name"), "db");
    assert.match(await sh("apart", `curl -sS -m 20 http://${address}:8000/name`), /Failed to connect/);
  });

  test("a fork is somebody else in it; names follow; a new daemon changes nothing", async () => {
    await home.ok(["vm", "fork", "db", "--name", "copy"]);
    assert.deepEqual(
      [await page("web", "copy"), await page("web", "db")],
      ["db", "db"],
      "it serves what the source did",
    );
    await home.ok(["vm", "rename", "copy", "spare"]);
    await until("the new name", async () => ((await page("web", "spare")) === "db" ? true : undefined));
    assert.match(await page("web", "copy"), /Could not resolve host/);
    process.kill((await home.json<{ pid: number }>(["daemon", "status"])).pid, "SIGKILL");
    assert.equal(await page("spare", "db"), "db");
  });

  test("a network that dies comes back in its place, and takes no other along; a daemon that dies keeps no name back", async () => {
    const pid = async (vm: string) => (await home.json<NetworkState>(["net", "policy", vm])).pid;
    const [before, other] = [await pid("db"), await pid("web")];
    assert.ok(before !== null);
    process.kill(before, "SIGKILL");
    assert.equal(await page("web", "spare"), "db");
    await until("db to be there again", async () => ((await page("web", "db")) === "db" ? true : undefined));
    assert.equal(await page("db", "spare"), "db");
    assert.equal(await pid("web"), other);
    await home.ok(["daemon", "stop"]);
    const env = { BANGER_DEBUG_CRASH_AT: "rename.recorded" };
    assert.equal((await home.run(["vm", "rename", "spare", "third"], { env })).code, 1);
    assert.equal(await page("web", "third"), "db");
    await home.ok(["vm", "rename", "third", "spare"]);
  });

  test("who stops is gone, who comes back is there, and a network with members stays", async () => {
    await home.ok(["vm", "stop", "db"]);
    await until("db to be unknown", async () =>
      /Could not resolve host/.test(await page("web", "db")) ? true : undefined,
    );
    await home.ok(["vm", "start", "db"]);
    await serve("db");
    assert.equal(await page("web", "db"), "db");
    assert.match((await home.run(["network", "delete", "dev"])).stderr, /is in the network "dev" \(network\.in-use\)/);
    await home.ok(["vm", "delete", "db", "web", "apart", "spare"]);
    await home.ok(["network", "delete", "dev"]);
    assert.match((await home.run(["network", "delete", "dev"])).stderr, /\(network\.not-found\)/);
  });
});
