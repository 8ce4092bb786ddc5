// The commands on snapshots: what reaches the daemon, and what stands on stdout and stderr.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromErrorBody } from "../../../../lib/errors.ts";
import { fakeSnapshot, runFake } from "../../../testing/run-fake.ts";

type Params = Record<string, unknown>;
const ready = fakeSnapshot("ready");
const disks = fakeSnapshot("disks", { memory: false, pausedMs: 0, usedBy: [], usedBytes: 1024 });
const known = new Map(
  [ready, disks].flatMap((record) => [record.name, record.id].map((key) => [key, record] as const)),
);
const notFound = (name: unknown): never => {
  throw fromErrorBody({ code: "snapshot.not-found", message: `there is no snapshot "${String(name)}"` });
};
const replies = {
  "snapshot.create": () => ready,
  "snapshot.list": () => ({ snapshots: [ready, disks] }),
  "snapshot.show": ({ snapshot }: Params) => known.get(String(snapshot)) ?? notFound(snapshot),
  "snapshot.delete": () => ({}),
};
const run = (...words: string[]) => runFake(["vm", "snapshot", ...words], { replies });

test("the group's page says which of the near-twins to take", async () => {
  const page = (await run()).stdout;
  for (const word of ["snapshot create", "vm fork", "vm pause", "image warm", "templates"])
    assert.ok(page.includes(word));
  assert.match((await runFake(["snapshot"])).stderr, /did you mean "banger vm snapshot"\?/);
});

describe("create", () => {
  test("prints the name, and what can be done with it", async () => {
    const ran = await run("create", "box", "ready");
    assert.deepEqual([ran.code, ran.stdout], [0, "ready\n"]);
    assert.deepEqual(ran.calls, [{ name: "snapshot.create", params: { vm: "box", name: "ready" } }]);
    assert.match(
      ran.stderr,
      /^box: stood still for 41 ms\nnext: banger vm fork ready, or banger vm restore box ready\n$/m,
    );
  });

  test("without a name the daemon makes one; --quiet, --json", async () => {
    const ran = await run("create", "-q", "box");
    assert.deepEqual([ran.stdout, ran.stderr], ["id-ready\n", ""]);
    assert.deepEqual(ran.calls, [{ name: "snapshot.create", params: { vm: "box" } }]);
    assert.deepEqual(JSON.parse((await run("create", "box", "--json")).stdout), ready);
  });

  test("of a stopped VM nothing stood still", async () => {
    const ran = await runFake(["vm", "snapshot", "create", "box"], { replies: { "snapshot.create": () => disks } });
    assert.doesNotMatch(ran.stderr, /stood still/);
  });
});

describe("list, show, delete", () => {
  test("list: a table, ids, records; of one VM when it is named", async () => {
    const table = await run("ls");
    assert.match(table.stdout, /^ID +NAME +VM +IMAGE +HOLDS +SIZE +USERS +CREATED\n/);
    assert.match(table.stdout, /^id-ready +ready +box +debian-bookworm +memory\+disks +64\.0 MiB +1 +\d+ days ago$/m);
    assert.match(table.stdout, /^id-disks +disks +box +debian-bookworm +disks +1\.0 KiB +0 +\d+ days ago$/m);
    const warm = { "snapshot.list": () => ({ snapshots: [fakeSnapshot("db", { warm: true })] }) };
    const ofImage = await runFake(["vm", "snapshot", "list"], { replies: warm });
    assert.match(ofImage.stdout, /^id-db +db +\(image warm\) +debian-bookworm /m);
    assert.deepEqual(table.calls, [{ name: "snapshot.list", params: {} }]);
    const one = await run("list", "-q", "box");
    assert.equal(one.stdout, "id-ready\nid-disks\n");
    assert.deepEqual(one.calls, [{ name: "snapshot.list", params: { vm: "box" } }]);
    assert.deepEqual(JSON.parse((await run("list", "--json")).stdout), [ready, disks]);
  });

  test("an empty list says on a terminal how one is made", async () => {
    const ran = await runFake(["vm", "snapshot", "list", "box"], {
      replies: { "snapshot.list": () => ({ snapshots: [] }) },
      terminal: true,
      env: { NO_COLOR: "1" },
    });
    assert.equal(ran.stdout, "");
    assert.equal(ran.stderr, "no snapshot is there: banger vm snapshot create box makes one\n");
  });

  test("show prints the record, or the id", async () => {
    assert.deepEqual(JSON.parse((await run("show", "ready")).stdout), ready);
    assert.equal((await run("show", "-q", "ready")).stdout, "id-ready\n");
    const missing = await run("show", "nope");
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /there is no snapshot "nope" \(snapshot\.not-found\)/);
  });

  test("delete: each once, and what is missing does not hold up the rest", async () => {
    const ran = await run("rm", "ready", "nope", "id-ready", "disks");
    assert.deepEqual([ran.code, ran.stdout], [1, "ready\ndisks\n"]);
    const deleted = ran.calls.filter(({ name }) => name === "snapshot.delete").map(({ params }) => params);
    assert.deepEqual(deleted, [{ snapshot: "id-ready" }, { snapshot: "id-disks" }]);
    assert.deepEqual(JSON.parse((await run("delete", "--json", "ready")).stdout), [ready]);
  });
});
