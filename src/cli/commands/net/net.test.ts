// The commands on networks, and the network options of others, against a fake daemon.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NetworkRecord, NetworkState } from "../../../api/network-records.ts";
import { type FakeOptions, runFake } from "../../testing/run-fake.ts";
import { fakeVm } from "../../../api/testdata/vm-record.ts";

const up: NetworkState = {
  ...{
    mode: "locked",
    name: null,
    allow: ["a.example:443"],
    deny: ["b.example"],
    hostPorts: [5432],
    secrets: [],
    join: null,
  },
  ...{ state: "up", reason: "", pid: 7 },
};
const record = (changes: Partial<NetworkRecord>): NetworkRecord => ({
  ...{
    sequence: 1,
    at: 0,
    event: "opened",
    protocol: "tcp",
    flow: 1,
    name: "",
    nameSource: "",
    address: "203.0.113.7",
  },
  ...{
    port: 443,
    question: "",
    answers: [],
    secrets: [],
    bytesUp: 0,
    bytesDown: 0,
    durationMs: 0,
    repeated: 1,
    missed: 0,
  },
  verdict: { allowed: true, rule: "mode balanced", reason: "", suggestion: "" },
  ...changes,
});
const denied = (changes: Partial<NetworkRecord>) =>
  record({
    event: "denied",
    verdict: { allowed: false, rule: "mode locked", reason: "no-rule", suggestion: "--allow 203.0.113.7:443" },
    ...changes,
  });
const run = (words: string, replies: FakeOptions["replies"] = {}, options: FakeOptions = {}) =>
  runFake(words.split(" "), {
    ...options,
    replies: { "vm.show": () => fakeVm("box"), "net.policy": () => up, ...replies },
  });
const paramsOf = (ran: Awaited<ReturnType<typeof run>>, name: string) =>
  ran.calls.find((call) => call.name === name)?.params;

test("policy prints what holds, and each option becomes the change that it is", async () => {
  assert.equal(
    (await run("net policy box")).stdout,
    "locked\nallow a.example:443\ndeny  b.example\nallow host.vm:5432  (port 5432 of this host's 127.0.0.1)\n",
  );
  const words = "net policy box --allow c.example --deny 10.0.0.0/8 --allow-host 80 --remove host.vm:5432";
  const changed = await run(words, { "net.set": () => ({ network: up, cut: 2 }) });
  assert.deepEqual(paramsOf(changed, "net.set"), {
    vm: "box",
    change: { allow: ["c.example"], deny: ["10.0.0.0/8"], hostPorts: [80], remove: ["host.vm:5432"] },
  });
  assert.match(changed.stderr, /2 open connections were cut/);
  assert.equal((await run("net policy box --set open --remove x")).code, 2);
  assert.equal((await run("net policy box --allow http://x")).code, 2);
  const failed = await run("net policy box", { "net.policy": () => ({ ...up, state: "failed", reason: "it died" }) });
  assert.match(failed.stderr, /the network is gone: it died\n.*banger net restart box/s);
});

test("log: a line for each, with what would allow what was denied", async () => {
  const log = async (line: NetworkRecord) =>
    (await run("net log box", { "net.log": () => line })).stdout.replace("1970-01-01T00:00:00.000Z  ", "");
  assert.equal(
    await log(denied({ repeated: 3 })),
    "denied    203.0.113.7:443: no-rule, by mode locked (3 times)  # banger net policy box --allow 203.0.113.7:443\n",
  );
  assert.equal(await log(record({ name: "a.example" })), "opened    a.example 203.0.113.7:443  by mode balanced\n");
  assert.equal(
    await log(record({ event: "closed", bytesUp: 10, bytesDown: 2048, durationMs: 5 })),
    "closed    203.0.113.7:443  10 B up, 2.0 KiB down, 5 ms\n",
  );
  assert.equal(
    await log(record({ address: "2001:db8::1", protocol: "udp" })),
    "opened    [2001:db8::1]:443/udp  by mode balanced\n",
  );
  assert.equal(
    await log(record({ event: "resolved", protocol: "dns", name: "a.example", question: "A", answers: ["1.2.3.4"] })),
    "resolved  a.example A: 1.2.3.4\n",
  );
  assert.equal(await log(record({ event: "missed", missed: 9 })), "missed    9 lines came too fast to be read\n");
  const only = await run("net log box --denied", { "net.log": () => record({}) });
  assert.equal(only.stdout, "");
});

test("check: what is asked, and the exit code that answers", async () => {
  const yes = {
    verdict: { allowed: true, rule: "mode open", reason: "", suggestion: "" },
    addresses: [],
    resolveFailure: "",
  };
  const asked = async (text: string) =>
    paramsOf(await run(`net check box ${text}`, { "net.check": () => yes }), "net.check");
  assert.deepEqual(await asked("a.example:443"), {
    vm: "box",
    host: "a.example",
    port: 443,
    protocol: "tcp",
    resolve: false,
  });
  assert.deepEqual(await asked("[2001:db8::1]:53/udp --resolve"), {
    ...{ vm: "box", host: "2001:db8::1", port: 53, protocol: "udp", resolve: true },
  });
  assert.deepEqual(await asked("203.0.113.7/icmp"), {
    vm: "box",
    host: "203.0.113.7",
    port: 0,
    protocol: "icmp",
    resolve: false,
  });
  for (const wrong of ["a.example", "a.example:x", "2001:db8::1", "a.example:70000"]) {
    assert.equal((await run(`net check box ${wrong}`)).code, 2, wrong);
  }
  assert.equal((await run("net check box a.example:443", { "net.check": () => yes })).code, 0);
  const no = { ...yes, verdict: denied({}).verdict };
  const refused = await run("net check box a.example:443", { "net.check": () => no });
  assert.deepEqual(
    [refused.code, refused.stdout],
    [1, "denied  no-rule, by mode locked  # banger net policy box --allow 203.0.113.7:443\n"],
  );
});

test("run: a repository's wish is a question on a terminal, and never an answer", async () => {
  const wish = {
    mode: "locked",
    name: "banger.toml",
    allow: ["a.example:443"],
    deny: [],
    hostPorts: [],
    secrets: [],
    join: null,
  };
  const replies = {
    "workspace.inspect": () => ({ root: "/r", name: "r", subdirectory: "", files: 1, untracked: 0 }),
    "net.workspace": () => ({ policy: wish }),
    "vm.create": () => fakeVm("box"),
    "workspace.prepare": () => ({ guestPath: "/root/repo", workdir: "/root/repo", root: "/r", files: 1, untracked: 0 }),
  };
  const made = async (words: string, options: FakeOptions) => {
    const ran = await run(`vm run --detach ${words}`, replies, options);
    return { network: paramsOf(ran, "vm.create")?.["network"], ran };
  };
  const { mode, secrets: _, join: __, ...rules } = wish;
  const granted = { use: mode, ...rules };
  assert.deepEqual((await made("repo", { terminal: true, stdin: "y\r" })).network, granted);
  for (const answer of ["\r", "n\r", "yolo\r"]) {
    assert.equal((await made("repo", { terminal: true, stdin: answer })).network, undefined);
  }
  assert.equal((await made("repo", { stdin: "y\n" })).network, undefined, "a pipe is nobody who was asked");
  assert.deepEqual((await made("--network workspace --allow b.example repo", {})).network, {
    ...granted,
    allow: ["a.example:443", "b.example"],
  });
  const other = await made("--nat repo", { terminal: true, stdin: "y\r" });
  assert.deepEqual(other.network, { use: "balanced" });
  assert.equal(paramsOf(other.ran, "net.workspace"), undefined);
  assert.equal((await run("vm run --network workspace -- true", replies)).code, 2);
  assert.equal((await run("vm run --nat --network open -- true", replies)).code, 2);
});
