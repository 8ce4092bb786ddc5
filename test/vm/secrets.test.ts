// Secrets: requests of real VMs carry values that are nowhere in the VM, on its disks, in its snapshots, or in any log.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { NetworkRecord, NetworkState } from "../../src/api/network-records.ts";
import type { SecretRecord } from "../../src/api/secret-methods.ts";
import { smallVm } from "../support/home.ts";
import { WorldHome } from "../support/internet/world.ts";
import { until } from "../support/until.ts";

describe("a secret", { concurrency: false }, () => {
  const value = `first-${randomBytes(12).toString("hex")}`;
  let home: WorldHome;
  before(async () => {
    home = await WorldHome.make("");
  });
  after(() => home?.[Symbol.asyncDispose]());

  const set = (text: string, ...options: string[]) =>
    home.ok(["secret", "set", "api", "--host", "api.site.example", "--env", "API_TOKEN", ...options], { stdin: text });
  /** What the server says to that: it gives nothing back that it got. */
  const got = (token: string) => `authorization ${createHash("sha256").update(`Bearer ${token}`).digest("hex")}`;
  /** What the server got from a VM that sends what its variable holds. */
  const seen = async (vm: string, host: string, ...options: string[]) => {
    const script = `curl -sS ${options.join(" ")} -H "Authorization: Bearer $API_TOKEN" https://${host}/`;
    const ran = await home.run(["vm", "exec", vm, "--", "sh", "-c", script]);
    return ran.stdout.trim() || ran.stderr.trim();
  };

  test("the host that it is for gets the value, others the placeholder or nothing", async () => {
    await set(`${value}\n`);
    const made = ["vm", "create", "--name", "box", ...smallVm, "--secret", "api", "--allow", "site.example:443"];
    await home.ok(made);
    assert.equal(await seen("box", "api.site.example"), got(value));
    const [{ placeholder, usedBy } = { placeholder: "", usedBy: [] as string[] }] = await home.json<SecretRecord[]>([
      ...["secret", "list"],
    ]);
    assert.deepEqual(usedBy, ["box"]);
    // Its TLS goes through untouched: the VM does not trust that server, nor does banger have a hand in it.
    assert.match(await seen("box", "site.example"), /self-signed certificate/);
    assert.equal(await seen("box", "site.example", "--insecure"), got(placeholder));
    assert.match(await seen("box", "other.example"), /Could not resolve host/);
    const log = (await home.ok(["net", "log", "box", "--json"])).stdout.trim().split("\n");
    const records = log.map((line) => JSON.parse(line) as NetworkRecord);
    assert.ok(records.some(({ secrets, name }) => secrets.includes("api") && name === "api.site.example"));
  });

  test("another value holds at once, and a copy of the VM has it, too", async () => {
    const next = `second-${randomBytes(12).toString("hex")}`;
    await set(next);
    assert.equal(await seen("box", "api.site.example"), got(next));
    await set("", "--from-command", "--", "echo", value);
    assert.equal(await seen("box", "api.site.example"), got(value));
    await set(value);
    await home.ok(["vm", "fork", "box", "--name", "kid"]);
    assert.equal(await seen("kid", "api.site.example"), got(value));
    await home.ok(["vm", "delete", "kid"]);
  });

  test("a daemon that dies while it is set, and a network that dies, leave the VM with the new value", async () => {
    const next = `third-${randomBytes(12).toString("hex")}`;
    await home.ok(["daemon", "stop"]);
    const env = { BANGER_DEBUG_CRASH_AT: "secret.stored" };
    const options = ["--host", "api.site.example", "--env", "API_TOKEN"];
    const cut = await home.run(["secret", "set", "api", ...options], { stdin: next, env });
    assert.equal(cut.code, 1, cut.stderr);
    assert.equal(await seen("box", "api.site.example"), got(next));
    const network = () => home.json<NetworkState>(["net", "policy", "box"]);
    const { pid } = await network();
    assert.ok(pid !== null);
    process.kill(pid, "SIGKILL");
    await until("another one", async () => {
      const now = await network();
      return now.state === "up" && now.pid !== pid ? true : undefined;
    });
    assert.equal(await seen("box", "api.site.example"), got(next));
    await set(value);
  });

  test("it is in one file of this host, and nowhere in the VM", async () => {
    await home.ok(["vm", "snapshot", "create", "box", "shot"]);
    const inside =
      "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'; cat /root/.* /etc/*.pem 2>/dev/null";
    const shown = (await home.run(["vm", "exec", "box", "--", "sh", "-c", inside])).stdout;
    assert.ok(shown.includes("API_TOKEN=banger-api-") && !shown.includes(value));
    await home.ok(["vm", "pause", "box"]);
    // Memory and disks of the VM and of the snapshot, logs, database, sockets' directory: all that there is.
    const found = spawnSync("grep", ["-rlaF", value, home.path], { encoding: "utf8" });
    const files = found.stdout.trim().split("\n");
    assert.deepEqual(files, [join(home.path, "state/secrets.json")]);
    for (const name of ["secrets.json", "authority/ca-key.pem"]) {
      assert.equal(statSync(join(home.path, "state", name)).mode & 0o777, 0o600);
    }
    await home.ok(["vm", "resume", "box"]);
    assert.equal(await seen("box", "api.site.example"), got(value));
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      let text = "";
      try {
        text = readFileSync(`/proc/${pid}/cmdline`, "latin1") + readFileSync(`/proc/${pid}/environ`, "latin1");
      } catch {
        // Ended meanwhile.
      }
      assert.ok(!text.includes(value), `process ${pid} has it in its arguments or environment`);
    }
  });

  test("what cannot be is refused; one that a VM has stays", async () => {
    const refused = async (...args: string[]) => (await home.run(args, { stdin: "x" })).stderr;
    assert.match(await refused("secret", "delete", "api"), /used by VM "box" \(secret\.invalid\)/);
    assert.match(await refused("secret", "set", "A", "--host", "a.example"), /a name is of a-z/);
    assert.match(await refused("secret", "set", "a", "--host", "10.0.0.1"), /is no host/);
    assert.match(await refused("secret", "set", "a", "--host", "a.example:443"), /is no host/);
    assert.match(await refused("vm", "run", "--secret", "none", "--", "true"), /\(secret\.not-found\)/);
    const failing = ["secret", "set", "bad", "--host", "a.example", "--from-command", "--", "false"];
    assert.match(await refused(...failing), /gave no value \(exit code 1\) \(secret\.failed\)/);
    assert.deepEqual(
      (await home.json<SecretRecord[]>(["secret", "list"])).map(({ name }) => name),
      ["api"],
    );
    await home.ok(["vm", "delete", "box"]);
    await home.ok(["vm", "snapshot", "delete", "shot"]);
    await home.ok(["secret", "delete", "api", "--quiet"]);
  });
});
