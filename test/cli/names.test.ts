// Names of VMs as the whole program tells of them: on a port of its own, on one that somebody has, and switched off.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { type Socket, createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Check } from "../../src/api/records.ts";
import { Home } from "../support/home.ts";

test("doctor, daemon status and dns status agree on whether names are answered, and why not", async () => {
  await using home = new Home({ seeded: false });
  const tell = async () => {
    const dns = await home.json<{ listening: boolean; port: number; problem: string }>(["dns", "status"]);
    const status = await home.json<{ dns: typeof dns }>(["daemon", "status"]);
    assert.deepEqual(status.dns, dns);
    const checks = JSON.parse((await home.run(["doctor", "--json"])).stdout) as Check[];
    return { dns, check: checks.find(({ name }) => name === "names of VMs") };
  };
  const withPort = async (port: number) => {
    await home.run(["daemon", "stop"]);
    writeFileSync(join(home.path, "config.toml"), `[dns]\nport = ${port}\n`);
  };

  const off = await tell();
  assert.deepEqual([off.dns.listening, off.check?.status], [false, "PASS"]);
  const refused = await home.run(["dns", "setup", "--resolver", "dnsmasq"]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /switched off: port = 0 .*config\.toml \(config\.invalid\)\nbanger: hint: \$EDITOR /);

  const other = await holdPort();
  const { port } = other.address();
  await withPort(port);
  const taken = await tell();
  assert.deepEqual([taken.dns.listening, taken.check?.status], [false, "WARN"]);
  assert.match(
    taken.check?.details.join() ?? "",
    new RegExp(`no DNS on port ${port} of 127\\.0\\.0\\.1: another program`),
  );
  assert.match((await home.ok(["daemon", "status"])).stdout, /^names +no: no DNS on port/m);
  const warned = await home.ok(["dns", "setup", "--resolver", "dnsmasq"]);
  assert.match(warned.stdout, new RegExp(`server=/vm/127\\.0\\.0\\.1#${port}$`, "m"));
  assert.match(warned.stderr, /^warning: names are not answered now: no DNS on port/m);

  other.close();
  await once(other, "close");
  await withPort(port);
  const free = await tell();
  assert.deepEqual(
    [free.dns, free.check?.status],
    [{ server: "127.0.0.1", port, listening: true, problem: "" }, "PASS"],
  );
  assert.match(
    (await home.ok(["daemon", "status"])).stdout,
    new RegExp(`^names +<vm>\\.vm on 127\\.0\\.0\\.1:${port}$`, "m"),
  );
});

/** A port that nobody gets who asks for any, so that it is free again afterwards. */
async function holdPort(): Promise<Socket> {
  const [firstAnyones = "32768"] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split("\t");
  for (;;) {
    const socket = createSocket("udp4").bind(randomInt(10_000, Number(firstAnyones)), "127.0.0.1");
    const bound = await once(socket, "listening").then(
      () => true,
      () => false,
    );
    if (bound) return socket;
  }
}
