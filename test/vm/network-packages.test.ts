// apt-get, npm, pip and git fetch what they need over HTTPS in a real VM that may reach what "net learn" wrote down, and nothing else.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { NetworkState } from "../../src/api/network-records.ts";
import { startRegistry } from "../../src/registry/testdata/docker-registry.ts";
import { root, smallVm } from "../support/home.ts";
import { imageNames, imageStore } from "../support/image-fixture.ts";
import { keepLayers } from "../support/image-layers.ts";
import { makePackages, packageHostAddresses, word } from "../support/internet/packages.ts";
import { WorldHome } from "../support/internet/world.ts";
import { firstMissing, readSamples } from "../support/samples.ts";

/** Hosts that stand for the real ones, an authority that is trusted, and no second tries: each of the tools waits before those. */
const settings = `
cat /root/ca.pem >> /etc/ssl/certs/ca-certificates.crt
rm -rf /etc/apt/sources.list.d
echo 'deb [trusted=yes] https://deb.example/ ./' > /etc/apt/sources.list
echo 'Acquire::Retries "0";' > /etc/apt/apt.conf.d/no-retries
printf 'registry=https://npm.example/\\nfetch-retries=0\\n' > /root/.npmrc
printf '[global]\\nindex-url=https://pypi.example/simple/\\nretries=0\\n' > /etc/pip.conf
`;

interface Tool {
  /** Fetches over the network, and shows what came of it. */
  readonly use: string;
  readonly shows: string;
  /** Makes the VM as if it had never been used. */
  readonly forget: string;
  readonly hosts: readonly string[];
  /** What it says when names are not there. */
  readonly refused: RegExp;
}

const tools: Readonly<Record<string, Tool>> = {
  "apt-get": {
    use: "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes greet && greet",
    shows: word.apt,
    forget: "dpkg --purge greet greet-words; apt-get clean; rm -rf /var/lib/apt/lists",
    hosts: ["deb.example", "pool.example"],
    refused: /Could not resolve 'deb\.example'/,
  },
  npm: {
    use: `npm install greet && node -p 'require("greet")'`,
    shows: word.npm,
    forget: "rm -rf node_modules .npm package.json package-lock.json",
    hosts: ["npm.example", "tarballs.example"],
    refused: /getaddrinfo ENOTFOUND npm\.example/,
  },
  pip: {
    use: "pip install --target modules greet && PYTHONPATH=modules python3 -c 'import greet; print(greet.word)'",
    shows: word.pip,
    forget: "rm -rf modules .cache/pip",
    hosts: ["files.example", "pypi.example"],
    refused: /Name or service not known|No matching distribution found for greet/,
  },
  git: {
    use: "git clone https://git.example/greet.git && git -C greet log --format=%s && cat greet/greeting",
    shows: `Greet\n${word.git}`,
    forget: "rm -rf greet",
    hosts: ["git.example"],
    refused: /Could not resolve host: git\.example/,
  },
};

describe("tools that fetch packages", { concurrency: false }, () => {
  let directory: string;
  let home: WorldHome;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-packages-"));
    const [layout, packages] = [join(directory, "tools"), join(directory, "packages")];
    {
      await using registry = await startRegistry({ store: await imageStore() });
      const from = `docker://${registry.host}/${imageNames.large("gzip")}`;
      execFileSync("skopeo", ["copy", "--quiet", "--src-tls-verify=false", from, `oci:${layout}:x`]);
    }
    keepLayers(layout, [0, 2, 3, 5]);
    makePackages(packages);
    home = await WorldHome.make("", { packages: { addresses: packageHostAddresses, directory: packages } });
    await home.ok(["image", "import", "--name", "tools", layout]);
    await home.ok(["vm", "create", "--name", "box", "--image", "tools", ...smallVm, "--network", "locked"]);
    await home.ok(["vm", "cp", home.certificate, "box:/root/ca.pem"]);
    await home.ok(["vm", "exec", "box", "--", "sh", "-ec", settings]);
  });
  after(async () => {
    await home?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  /** What hangs is ended, and not waited for until the test is. */
  const inGuest = (script: string) => ["box", "--", "timeout", "240", "sh", "-c", `cd /root; ${script}`];
  const policy = async () => {
    const { mode, allow } = await home.json<NetworkState>(["net", "policy", "box"]);
    return { mode, allow };
  };

  for (const [name, tool] of Object.entries(tools)) {
    test(`${name} works with the rules that net learn wrote for it, and not without them`, async () => {
      await home.ok(["net", "policy", "box", "--set", "locked"]);
      const refused = await home.run(["vm", "exec", ...inGuest(tool.use)]);
      assert.ok(refused.code !== 0 && refused.code !== 124, `${refused.code} ${refused.stderr}`);
      assert.match(refused.stderr, tool.refused);
      await home.ok(["vm", "exec", ...inGuest(tool.forget)]);

      const learned = await home.ok(["net", "learn", ...inGuest(tool.use)]);
      assert.ok(learned.stdout.trimEnd().endsWith(tool.shows.trimEnd()), learned.stdout);
      assert.deepEqual(await policy(), { mode: "locked", allow: [] });
      const printed = /to allow exactly what it used: banger (.*)\n/.exec(learned.stderr)?.[1] ?? learned.stderr;
      const rules = tool.hosts.map((host) => `${host}:443`);
      assert.equal(printed, `net policy box --set locked ${rules.map((rule) => `--allow ${rule}`).join(" ")}`);
      await home.ok(["vm", "exec", ...inGuest(tool.forget)]);

      await home.ok(printed.split(" "));
      assert.deepEqual(await policy(), { mode: "locked", allow: rules });
      const used = await home.ok(["vm", "exec", ...inGuest(tool.use)]);
      assert.ok(used.stdout.trimEnd().endsWith(tool.shows.trimEnd()), used.stdout);

      // Hosts that others need, by name and by address.
      const other = Object.entries(packageHostAddresses).find(([host]) => !tool.hosts.includes(host));
      const [host = "", address = ""] = other ?? [];
      const curl = (...words: string[]) => home.run(["vm", "exec", "box", "--", "curl", "-sS", "-m", "20", ...words]);
      assert.equal((await curl(`https://${host}/`)).code, 6);
      assert.equal((await curl("--resolve", `${host}:443:${address}`, `https://${host}/`)).code, 7);
    });
  }

  test("apt-get over HTTP, which is read and written anew on its way", async () => {
    const { use = "", forget = "", shows = "" } = tools["apt-get"] ?? {};
    await home.ok([
      "net",
      "policy",
      "box",
      "--set",
      "locked",
      "--allow",
      "deb.example:80",
      "--allow",
      "pool.example:443",
    ]);
    await home.ok(["vm", "exec", ...inGuest(`${forget}; sed -i s/https:/http:/ /etc/apt/sources.list`)]);
    const used = await home.ok(["vm", "exec", ...inGuest(use)]);
    assert.ok(used.stdout.trimEnd().endsWith(shows), used.stdout);
    await home.ok(["vm", "exec", ...inGuest(`${forget}; sed -i s/http:/https:/ /etc/apt/sources.list`)]);
  });

  test("the sample of docs/network.md", async () => {
    const [sample, ...more] = readSamples(readFileSync(join(root, "docs/network.md"), "utf8"));
    assert.ok(sample !== undefined && more.length === 0);
    for (const { command, expected } of sample) {
      const words = command.match(/'[^']*'|\S+/g) ?? [];
      const { stdout, stderr } = await home.run(words.slice(1).map((text) => text.replaceAll("'", "")));
      const output = `${stdout}${stderr}`;
      assert.equal(firstMissing(expected, output.split("\n")), undefined, `$ ${command}\nprinted:\n${output}`);
    }
  });
});
