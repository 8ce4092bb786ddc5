// What real VMs reach in an "internet" of the test's own, under modes, rules, policies and the wishes of a repository.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { NetworkState } from "../../src/api/network-records.ts";
import { smallVm } from "../support/home.ts";
import { gatewayAddress, hostAddress, sites, WorldHome } from "../support/internet/world.ts";

const config = `
[network.policies.ci]
mode = "locked"
allow = ["*.site.example:80"]
`;

describe("what a VM reaches", { concurrency: false }, () => {
  let home: WorldHome;
  before(async () => {
    home = await WorldHome.make(config);
  });
  after(() => home?.[Symbol.asyncDispose]());

  /** What the page says, or curl's number: 6 no such name, 7 refused, 56 reset. */
  const page = async (vm: string, url: string, ...options: string[]) => {
    const curl = ["curl", "-sS", "-m", "20", ...options, url];
    const ran = await home.run(["vm", "exec", vm, "--", ...curl]);
    return ran.code === 0 ? ran.stdout.trim() : ran.code;
  };
  const refused = 7;
  const noSuchName = 6;

  test("--nat: public addresses, and nothing of the host and its networks", async () => {
    await home.ok(["vm", "create", "--name", "box", ...smallVm, "--nat"]);
    assert.equal(await page("box", "http://site.example/"), `site.example at ${sites["site.example"]}`);
    assert.equal(await page("box", `http://${sites["other.example"]}/`), "93.184.216.12 at 93.184.216.12");
    for (const address of [gatewayAddress, hostAddress, "169.254.169.254", "198.18.0.1", "10.1.2.3", "224.0.0.1"]) {
      const got = await page("box", `http://${address}/`);
      assert.equal(got, refused, `${address}: ${got}`);
    }
    // Public names that lead into private networks.
    for (const name of ["inside.example", "metadata.example"]) {
      assert.ok([refused, noSuchName].includes(Number(await page("box", `http://${name}/`))), name);
    }
    await home.ok(["net", "policy", "box", "--allow", `${gatewayAddress}:80`]);
    assert.equal(await page("box", `http://${gatewayAddress}/`), `${gatewayAddress} at ${gatewayAddress}`);
  });

  test("locked: the names that rules say, at the addresses that they have, and no other", async () => {
    await home.ok(["net", "policy", "box", "--set", "locked", "--allow", "site.example:80"]);
    assert.equal(await page("box", "http://other.example/"), noSuchName);
    assert.equal(await page("box", "http://api.site.example/"), noSuchName);
    assert.equal(await page("box", `http://${sites["other.example"]}/`), refused);
    assert.equal(await page("box", "http://site.example/"), `site.example at ${sites["site.example"]}`);
    assert.equal(await page("box", "http://site.example:81/"), refused);
    // Another host behind the address that is allowed.
    const forged = await page("box", "http://site.example/", "-H", "Host: other.example", "-w", "%{http_code}");
    assert.match(String(forged), /403$/);
    assert.match(String(forged), /--allow other\.example:80/);
    const resolved = await home.run(["net", "check", "box", "site.example:80", "--resolve"]);
    assert.equal(
      resolved.stdout,
      "allowed  by allow site.example:80\n  93.184.216.10  allowed  by allow site.example:80\n",
    );
  });

  test("learn: the rules for what a command used, and they are enough", async () => {
    const script = "curl -sS http://site.example/ && curl -sS http://api.site.example/";
    await home.ok(["net", "policy", "box", "--set", "locked"]);
    const learned = await home.ok(["net", "learn", "box", "--", "sh", "-c", script]);
    assert.match(learned.stdout, /site\.example at .*\napi\.site\.example at .*\n/s);
    assert.equal((await home.json<NetworkState>(["net", "policy", "box"])).mode, "locked");
    assert.match(
      learned.stderr,
      /banger net policy box --set locked --allow api\.site\.example:80 --allow site\.example:80\n/,
    );
    assert.equal(await page("box", "http://site.example/"), noSuchName);
    await home.ok([
      "net",
      "policy",
      "box",
      "--set",
      "locked",
      "--allow",
      "api.site.example:80",
      "--allow",
      "site.example:80",
    ]);
    assert.equal((await home.run(["vm", "exec", "box", "--", "sh", "-c", script])).code, 0);
    await home.ok(["vm", "delete", "box"]);
  });

  test("a policy of config.toml by its name", async () => {
    const get = ["--", "curl", "-sS", "http://api.site.example/"];
    const ran = await home.ok(["vm", "run", "--rm", ...smallVm, "--network", "ci", ...get]);
    assert.equal(ran.stdout, `api.site.example at ${sites["api.site.example"]}\n`);
    const unknown = await home.run(["vm", "run", "--rm", ...smallVm, "--network", "cj", ...get]);
    const failed = await home.run([
      "vm",
      "run",
      "--rm",
      ...smallVm,
      "--network",
      "ci",
      "--",
      "curl",
      "-sS",
      "http://other.example/",
    ]);
    assert.equal(failed.code, noSuchName);
    assert.match(
      failed.stderr,
      /its network policy denied what these options would allow:\n +--allow other\.example\n/,
    );
    assert.match(unknown.stderr, /"cj" is no network mode .*policies of config\.toml: ci \(network\.policy-invalid\)/);
  });

  test("a repository's banger.toml is shown, and used only when the user says so", async () => {
    const repository = join(home.path, "repository");
    mkdirSync(repository);
    try {
      writeFileSync(join(repository, "banger.toml"), '[network]\nmode = "locked"\nallow = ["site.example:80"]\n');
      for (const args of [
        ["init", "-q"],
        ["add", "."],
      ])
        spawnSync("git", ["-C", repository, ...args]);
      const run = (...options: string[]) =>
        home.run([
          "vm",
          "run",
          "--rm",
          ...smallVm,
          ...options,
          repository,
          "--",
          "curl",
          "-sS",
          "http://site.example/",
        ]);
      const unasked = await run();
      assert.equal(unasked.code, noSuchName);
      assert.match(
        unasked.stderr,
        /banger\.toml of the repository wants a network:\n +locked\n +allow site\.example:80\n/,
      );
      assert.match(unasked.stderr, /not used; with --network workspace it is/);
      const asked = await run("--network", "workspace");
      assert.equal(asked.stdout, `site.example at ${sites["site.example"]}\n`);
      const other = await run("--network", "none");
      assert.doesNotMatch(other.stderr, /banger\.toml/);
      writeFileSync(join(repository, "banger.toml"), '[network]\nmode = "open"\nalow = []\n');
      const wrong = await run();
      assert.match(wrong.stderr, /banger\.toml" cannot be used: network\.alow: unknown key \(config\.invalid\)/);
      assert.deepEqual(await home.vms(), []);
    } finally {
      rmSync(repository, { recursive: true });
    }
  });
});
