// Login and logout: where the password comes from, and that it is shown nowhere.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runFake } from "../../testing/run-fake.ts";

const replies = {
  "registry.login": ({ registry }: Record<string, unknown>) => ({ registry }),
  "registry.logout": ({ registry }: Record<string, unknown>) => ({ registry, removed: registry === "ghcr.io" }),
};
const run = (argv: string[], stdin = "") => runFake(["registry", ...argv], { replies, stdin });

test("login takes the password from standard input", async () => {
  const argv = ["login", "ghcr.io", "--username", "me", "--password-stdin", "--realm", "auth.example"];
  const { code, stdout, stderr, calls } = await run(argv, "s3cret\n");
  assert.deepEqual([code, stdout, stderr], [0, "ghcr.io\n", ""]);
  assert.deepEqual(calls, [
    {
      name: "registry.login",
      params: { registry: "ghcr.io", username: "me", password: "s3cret", realm: "auth.example" },
    },
  ]);
  const hub = await run(["login", "--username", "me", "--password-stdin", "--insecure", "--json"], "x");
  assert.deepEqual(hub.calls[0]?.params, { registry: "docker.io", username: "me", password: "x", insecure: true });
  assert.deepEqual(JSON.parse(hub.stdout), { registry: "docker.io" });
});

test("without a terminal and without the flag nothing is sent", async () => {
  for (const argv of [
    ["login", "ghcr.io"],
    ["login", "ghcr.io", "--username", "me"],
  ]) {
    const { code, calls, stderr } = await run(argv, "s3cret\n");
    assert.equal(code, 2);
    assert.deepEqual(calls, []);
    assert.match(stderr, /there is no terminal to ask for the password on/);
    assert.match(stderr, /hint: banger registry login ghcr\.io --username (?:me|<name>) --password-stdin/);
  }
});

test("there is no option for the password", async () => {
  const { code, calls } = await run(["login", "ghcr.io", "--username", "me", "--password", "s3cret"]);
  assert.equal(code, 2);
  assert.deepEqual(calls, []);
});

test("logout says whether there was something", async () => {
  const removed = await run(["logout", "ghcr.io"]);
  assert.deepEqual([removed.code, removed.stdout, removed.stderr], [0, "ghcr.io\n", ""]);
  const none = await run(["logout"]);
  assert.deepEqual([none.code, none.stdout, none.stderr], [0, "", 'nothing was kept for "docker.io"\n']);
});
