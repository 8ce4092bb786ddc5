// The commands on memory templates and on how long starts take.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fakeTemplate, runFake } from "../../testing/run-fake.ts";

const [a, b] = [
  fakeTemplate("a"),
  fakeTemplate("b", {
    vcpus: 4,
    memoryMib: 4096,
    root: { image: { id: "i", name: "debian-bookworm" }, overlayBytes: 8 * 1024 ** 3, diskBytes: 8 * 1024 ** 3 },
  }),
];
const starts = [
  { kind: "cold", count: 1, p50Ms: 3012, p95Ms: 3012, phases: [{ name: "boot", p50Ms: 2500 }] },
  {
    kind: "template",
    count: 40,
    p50Ms: 512.4,
    p95Ms: 690,
    phases: [
      { name: "spawn", p50Ms: 80 },
      { name: "load", p50Ms: 120 },
    ],
  },
];
const replies = {
  "template.list": () => ({ templates: [a, b] }),
  "template.show": () => a,
  "template.prune": () => ({ templates: [a], freedBytes: a.usedBytes }),
  "template.warm": () => b,
  "stats.starts": () => ({ starts }),
};
const run = (...words: string[]) => runFake(words, { replies });

describe("template", () => {
  test("list: short ids for people, whole ones with --quiet, records with --json", async () => {
    const table = (await run("template", "ls")).stdout;
    assert.match(
      table,
      /^ID +IMAGE +KERNEL +VCPU +MEM +VMM +SIZE +CREATED +USED\na{12} +any +debian +2 +1024 MiB +qemu 7.2.22 tcg +26.0 MiB /,
    );
    assert.match(table, /\nb{12} +debian-bookworm +debian +4 +4096 MiB /);
    assert.equal((await run("template", "list", "-q")).stdout, `${a.id}\n${b.id}\n`);
    assert.deepEqual(JSON.parse((await run("template", "list", "--json")).stdout), [a, b]);
  });

  test("show prints the record, or the id", async () => {
    const ran = await run("template", "show", "aaaa");
    assert.deepEqual(JSON.parse(ran.stdout), a);
    assert.deepEqual(ran.calls, [{ name: "template.show", params: { template: "aaaa" } }]);
    assert.equal((await run("template", "show", "-q", "aaaa")).stdout, `${a.id}\n`);
  });

  test("prune says what went, or what would go", async () => {
    const ran = await run("template", "prune");
    assert.deepEqual([ran.stdout, ran.stderr], [`${"a".repeat(12)}\n`, "freed 26.0 MiB\n"]);
    assert.deepEqual(ran.calls, [{ name: "template.prune", params: {} }]);
    const dry = await run("template", "prune", "--all", "--dry-run");
    assert.equal(dry.stderr, "would free 26.0 MiB\n");
    assert.deepEqual(dry.calls, [{ name: "template.prune", params: { all: true, dryRun: true } }]);
    const quiet = await run("template", "prune", "-q");
    assert.deepEqual([quiet.stdout, quiet.stderr], [`${a.id}\n`, ""]);
    const json = JSON.parse((await run("template", "prune", "--json")).stdout) as unknown;
    assert.deepEqual(json, { templates: [a], freedBytes: a.usedBytes });
    const nothing = await runFake(["template", "prune"], {
      replies: { "template.prune": () => ({ templates: [], freedBytes: 0 }) },
    });
    assert.deepEqual([nothing.stdout, nothing.stderr], ["", "nothing to remove\n"]);
  });

  test("warm: options become the daemon's parameters, and nothing that was not said", async () => {
    const ran = await run("template", "warm", "--kernel", "debian", "--vcpu", "4", "--memory", "4G");
    assert.equal(ran.stdout, `${"b".repeat(12)}\n`);
    assert.deepEqual(ran.calls[0]?.params, { kernel: "debian", vcpus: 4, memoryMib: 4096 });
    const plain = await run("template", "warm", "-q");
    assert.equal(plain.stdout, `${b.id}\n`);
    assert.deepEqual(plain.calls[0]?.params, {});
    assert.deepEqual(JSON.parse((await run("template", "warm", "--json")).stdout), b);
    const ofImage = await run("template", "warm", "--image", "x", "--disk-size", "1G");
    assert.deepEqual(ofImage.calls[0]?.params, { image: "x", diskBytes: 1024 ** 3 });
    assert.equal((await run("template", "warm", "--init", "/sbin/init")).code, 2, "a template has no init");
  });
});

test("stats: a row for each kind of start with its phases; --json gives the numbers", async () => {
  const table = (await run("stats")).stdout;
  assert.match(table, /^START +COUNT +P50 +P95 +PHASES\ncold +1 +3\.0 s +3\.0 s +boot 2\.5 s\n/);
  assert.match(table, /^template +40 +512 ms +690 ms +spawn 80 ms, load 120 ms$/m);
  assert.deepEqual(JSON.parse((await run("stats", "--json")).stdout), starts);
  const none = { "stats.starts": () => ({ starts: [] }) };
  const seen = await runFake(["stats"], { replies: none, terminal: true, env: { NO_COLOR: "1" } });
  assert.match(seen.stderr, /^no VM was started yet/);
  assert.match((await runFake(["stats"], { replies: none })).stdout, /^START .*PHASES\n$/);
});
