// What a request means, and what banger-netd is told of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NetworkRequest } from "../api/network-records.ts";
import { configText } from "./config-text.ts";
import { resolvePolicy } from "./policy.ts";

const ci = { mode: "locked", allow: ["*.debian.org:80"], deny: ["a.debian.org"], hostPorts: [5432] } as const;
const settings = {
  fallback: "none",
  policies: new Map([["ci", { ...ci, allow: [...ci.allow], deny: [...ci.deny], hostPorts: [...ci.hostPorts] }]]),
};
const text = (request: NetworkRequest | undefined, fallback = "none") => {
  const { mode, name, allow, deny, hostPorts } = resolvePolicy(request, { ...settings, fallback });
  return [mode, name ?? "-", allow.join(","), deny.join(","), hostPorts.join(",")].join(" | ");
};

test("a mode, a policy, rules, and what holds when nothing is said", () => {
  assert.equal(text(undefined), "none | - |  |  | ");
  assert.equal(text(undefined, "ci"), "locked | ci | *.debian.org:80 | a.debian.org | 5432");
  assert.equal(text({ use: "balanced" }), "balanced | - |  |  | ");
  assert.equal(text({ use: "open", deny: ["10.0.0.0/8"] }), "open | - |  | 10.0.0.0/8 | ");
  assert.equal(text({ allow: ["a.example:443"] }), "locked | - | a.example:443 |  | ");
  assert.equal(text({ hostPorts: [80] }), "locked | - |  |  | 80");
  assert.equal(text({ allow: ["a.example"] }, "ci"), "locked | - | a.example |  | ");
  assert.equal(
    text({ use: "ci", allow: ["b.example", "*.debian.org:80"], hostPorts: [80] }),
    "locked | ci | *.debian.org:80,b.example | a.debian.org | 5432,80",
  );
  assert.equal(text({ use: "locked", name: "banger.toml" }), "locked | banger.toml |  |  | ");
});

test("what cannot be is refused", () => {
  for (const [request, why] of [
    [
      { use: "shut" },
      '"shut" is no network mode (none, open, balanced, locked) and no policy; policies of config.toml: ci',
    ],
    [{ use: "constructor" }, '"constructor" is no network mode'],
    [{ deny: ["a.example"] }, "--deny needs to know what is allowed otherwise"],
    [{ use: "none", allow: ["a.example"] }, "a VM without a network has no rules"],
    [{ use: "balanced", allow: ["a b"] }, '--allow "a b" is no rule'],
    [{ use: "balanced", deny: ["a b"] }, '--deny "a b" is no rule'],
  ] as [NetworkRequest, string][]) {
    assert.throws(
      () => resolvePolicy(request, settings),
      (error: Error) => error.message.startsWith(why) || assert.fail(error.message),
    );
  }
});

test("banger-netd is told who it is for and every rule", () => {
  const policy = resolvePolicy({ use: "ci", allow: ["[2001:db8::/32]:8000-8999/udp", "git.corp+private"] }, settings);
  const told = configText({ vmId: "v", startId: "s", resolvers: ["127.0.0.53"], policy, secrets: undefined });
  assert.deepEqual(JSON.parse(told), {
    vmId: "v",
    startId: "s",
    resolvers: ["127.0.0.53"],
    policy: {
      mode: "MODE_LOCKED",
      name: "ci",
      hostPorts: [5432],
      rules: [
        { action: "ACTION_ALLOW", target: "*.debian.org", firstPort: 80 },
        {
          action: "ACTION_ALLOW",
          target: "2001:db8::/32",
          firstPort: 8000,
          lastPort: 8999,
          protocol: "PROTOCOL_UDP",
        },
        { action: "ACTION_ALLOW", target: "git.corp", privateAddresses: true },
        { action: "ACTION_DENY", target: "a.debian.org" },
      ],
    },
  });
});
