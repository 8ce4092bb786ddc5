// Names, labels, waiting and events, with a real VM.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { VmEvent } from "../../src/api/vm-record-methods.ts";
import type { VmRecord } from "../../src/api/records.ts";
import { finished, Home, smallVm } from "../support/home.ts";
import { until } from "../support/until.ts";

describe("records of a VM", { concurrency: false }, () => {
  let home: Home;
  before(async () => {
    home = new Home({ seeded: true });
    await home.ok(["vm", "create", "--name", "web", "--label", "owner=me", ...smallVm]);
  });
  after(() => home[Symbol.asyncDispose]());

  test("a running VM gets another name and other labels; its old name is free", async () => {
    await home.ok(["vm", "rename", "web", "site"]);
    assert.equal((await home.ok(["vm", "exec", "site", "--", "echo", "there"])).stdout, "there\n");
    await home.ok(["vm", "label", "site", "tier=front", "owner-"]);
    assert.deepEqual(await home.json(["vm", "label", "site"]), { tier: "front" });
    const found = await home.json<VmRecord[]>(["vm", "list", "--filter", "label=tier"]);
    assert.deepEqual(
      found.map(({ name }) => name),
      ["site"],
    );
    await home.ok(["vm", "create", "--no-start", "--name", "web", ...smallVm]);
    const taken = await home.run(["vm", "rename", "site", "web"]);
    assert.match(taken.stderr, /vm\.name-taken/);
  });

  test("wait: for a port that begins to listen, for commands, and not for ever", async () => {
    const late = await home.run(["vm", "wait", "site", "--for", "port:8080", "--timeout", "200ms"]);
    assert.match(late.stderr, /port 8080 was not reached within 200 ms \(timeout\)/);
    const waiting = home.start(["vm", "wait", "site", "--for", "port:8080"]);
    const server = home.start(["vm", "exec", "site", "--", "python3", "-m", "http.server", "8080"]);
    const waited = await finished(waiting);
    assert.deepEqual([waited.code, waited.stdout], [0, "site\n"], waited.stderr);
    const ended = finished(server);
    server.kill("SIGINT");
    await ended;
    await home.ok(["vm", "wait", "site", "--for", "exec"]);
  });

  test("events tell what happens, and a wait for a port ends when the VM does", async () => {
    const watch = home.start(["events", "site", "--json"]);
    const ended = new Promise((resolve) => watch.once("close", resolve));
    const lines: VmEvent[] = [];
    watch.stdout?.setEncoding("utf8").on("data", (text: string) => {
      for (const line of text.split("\n").filter((one) => one !== "")) lines.push(JSON.parse(line) as VmEvent);
    });
    const seen = (kind: VmEvent["kind"]) =>
      until(`the event "${kind}"`, () => lines.find((line) => line.kind === kind));
    await seen("subscribed");
    const hopeless = finished(home.start(["vm", "wait", "site", "--for", "port:81"]));
    const stopped = finished(home.start(["vm", "wait", "site", "--for", "stopped"]));
    await home.ok(["vm", "stop", "site"]);
    assert.match((await hopeless).stderr, /is stopped: it will not reach port 81 \(vm\.wrong-state\)/);
    assert.equal((await stopped).code, 0);
    const gone = finished(home.start(["vm", "wait", "site", "--for", "deleted"]));
    await home.ok(["vm", "prune", "--force"]);
    assert.equal((await gone).code, 0);
    await seen("deleted");
    await home.ok(["vm", "wait", "site", "--for", "deleted"]);
    assert.equal(await ended, 0, "the events of a VM end with it");
    assert.deepEqual(
      lines.map(({ kind, vm }) => (kind === "state" ? vm?.state : kind)),
      ["subscribed", "stopping", "stopped", "deleted"],
    );
  });
});
