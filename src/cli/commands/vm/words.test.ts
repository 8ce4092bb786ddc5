// What verbs on VMs say beside their result: when a change is in effect, what a time or a label may be, how a port gets a URL.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { VmRecord } from "../../../api/records.ts";
import { runFake } from "../../testing/run-fake.ts";
import { fakeVm } from "../../../api/testdata/vm-record.ts";

const web = fakeVm("web", {
  spec: { vcpus: 4, memoryMib: 1024, diskBytes: 20 * 2 ** 30, overlayBytes: 100 * 2 ** 20 },
});

async function set(vm: VmRecord, atNextStart: string[], ...words: string[]) {
  const replies = { "vm.show": () => vm, "vm.set": () => ({ vm, atNextStart }) };
  const ran = await runFake(["vm", "set", "web", ...words], { replies });
  assert.deepEqual([ran.code, ran.stdout], [0, "web\n"], ran.stderr);
  return ran.stderr;
}

test("vm set says of each part when it is in effect", async () => {
  const both = await set(web, ["vcpus"], "--vcpu", "4", "--disk-size", "20G", "--network", "open");
  assert.match(both, /^web: 20G disk: in effect now$/m);
  assert.match(both, /^web: network open: in effect now$/m);
  assert.match(both, /^web: 4 vcpu: takes effect at the next start$/m);
  assert.match(both, /^next: banger vm restart web$/m);
  const atRest = await set({ ...web, state: "stopped" }, [], "--memory", "1G", "--system-overlay-size", "100M");
  assert.match(atRest, /^web: 1024 MiB, 100M system overlay: takes effect at the next start$/m);
  assert.doesNotMatch(atRest, /in effect now|banger vm restart/);
});

test("times that are not possible are refused before the daemon is asked", async () => {
  for (const words of [
    ["vm", "top", "web", "--interval", "6s"],
    ["vm", "wait", "web", "--timeout", "30d"],
    ["vm", "touch", "web", "--ttl", "500ms"],
    ["vm", "create", "--idle-timeout", "4000d"],
    ["vm", "label", "web", "bad key=1"],
    ["vm", "create", "--label", "bad key=1"],
  ]) {
    const ran = await runFake(words);
    assert.deepEqual([ran.code, ran.calls], [2, []], words.join(" "));
  }
});

test("vm ports: a table or JSON, and what gives a web server a URL", async () => {
  const server = { protocol: "tcp", address: "0.0.0.0", pid: 7, process: "p", command: "c", url: null };
  const ports = [
    { ...server, port: 22, http: false },
    { ...server, port: 80, http: true },
  ];
  const run = (words: string[]) =>
    runFake(["vm", "ports", "web", ...words], { replies: { "vm.ports": () => ({ ports }) } });
  const table = await run([]);
  assert.match(table.stdout, /^PROTO .*\ntcp +0\.0\.0\.0 +22 +7 +p +c\ntcp +0\.0\.0\.0 +80 +yes +7 +p +c\n$/);
  assert.equal(table.stderr, "next: banger vm forward web 80\n");
  const json = await run(["--json"]);
  assert.deepEqual([JSON.parse(json.stdout), json.stderr], [ports, ""]);
  const followed = await run(["--follow", "--json"]);
  assert.equal(followed.stdout, `${JSON.stringify(ports)}\n`);
  assert.equal((await run(["--follow"])).stdout, table.stdout);
});
