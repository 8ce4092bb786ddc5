// Opening: fresh, again, older, newer, damaged, by two processes, and after kill -9.
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, test } from "node:test";
import { inspectState } from "./inspect.ts";
import { migrate, migrations, schemaVersion } from "./migrate.ts";
import { openState } from "./open.ts";
import { startChild } from "./testdata/child.ts";
import { addParts, exampleOperation, exampleVm } from "./testdata/rows.ts";

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "banger-state-"));
  file = join(dir, "banger.db");
});
afterEach(() => rmSync(dir, { recursive: true }));

function makeSchema1(): void {
  const old = new DatabaseSync(file);
  old.exec(readFileSync(join(import.meta.dirname, "testdata/schema-1.sql"), "utf8"));
  old.close();
}

function sql(text: string): void {
  const database = new DatabaseSync(file);
  database.exec(text);
  database.close();
}

test("a fresh database is private, durable and at the current schema", () => {
  assert.deepEqual(inspectState(file), { schema: 0, currentSchema: migrations.length, vms: 0, images: 0, kernels: 0 });
  assert.equal(existsSync(file), false, "inspecting makes nothing");
  {
    using state = openState(file);
    addParts(state);
    state.vms.insert(exampleVm());
    for (const name of [file, `${file}-wal`, `${file}-shm`]) assert.equal(statSync(name).mode & 0o777, 0o600, name);
  }
  assert.equal(readFileSync(file).readUInt8(18), 2, "the header says WAL");
  assert.deepEqual(inspectState(file), {
    schema: migrations.length,
    currentSchema: migrations.length,
    vms: 1,
    images: 1,
    kernels: 1,
  });
});

test("what was written is there when it is opened again", () => {
  {
    using state = openState(file);
    addParts(state);
    state.vms.insert(exampleVm());
  }
  using state = openState(file);
  assert.deepEqual(state.vms.list(), [exampleVm()]);
  assert.equal(existsSync(`${file}.v2.bak`), false, "no copy without a migration");
});

test("a file that others could read becomes private", () => {
  openState(file)[Symbol.dispose]();
  sql("PRAGMA journal_mode = DELETE");
  writeFileSync(file, readFileSync(file), { mode: 0o644 });
  openState(file)[Symbol.dispose]();
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test("an older schema is brought forward with what is in it, and a copy is kept", () => {
  makeSchema1();
  {
    using state = openState(file);
    assert.deepEqual(state.vms.get("0123456789ab"), exampleVm({ state: "stopped", startedAt: 1003 }));
    state.operations.save(exampleOperation());
  }
  assert.equal(inspectState(file).schema, migrations.length);
  const copy = `${file}.v1.bak`;
  assert.equal(statSync(copy).mode & 0o777, 0o600);
  assert.deepEqual(inspectState(copy), { schema: 1, currentSchema: migrations.length, vms: 1, images: 1, kernels: 1 });
});

test("of a workspace that an older version recorded the place is kept", () => {
  makeSchema1();
  const old = { guestPath: "/root/repo/web", sourcePath: "/home/me/repo/web", preparedAt: 5 };
  sql(`UPDATE vms SET workspace = '${JSON.stringify(old)}'`);
  using state = openState(file);
  const place = { guestPath: old.guestPath, workdir: old.guestPath, sourcePath: old.sourcePath, root: old.sourcePath };
  const unknown = { branch: null, headCommit: null, startCommit: null, baseTree: null, metaPath: null };
  const rest = { repoName: "repo", mode: "copy", includeUntracked: false, preparedAt: 5, syncedAt: 5 } as const;
  assert.deepEqual(state.vms.list()[0]?.workspace, { ...place, ...rest, ...unknown });
});

test("without a backup no copy is kept", () => {
  makeSchema1();
  openState(file, { backup: false })[Symbol.dispose]();
  assert.equal(existsSync(`${file}.v1.bak`), false);
});

test("migrating gives the schema that the fixture of schema 1 and a fresh database share", () => {
  const schemaOf = (name: string) => {
    const database = new DatabaseSync(name, { readOnly: true });
    const rows = database.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name").all();
    database.close();
    return rows.map((row) => ({ ...row }));
  };
  makeSchema1();
  openState(file)[Symbol.dispose]();
  const fresh = join(dir, "fresh.db");
  openState(fresh)[Symbol.dispose]();
  assert.deepEqual(schemaOf(file), schemaOf(fresh));
});

test("a newer schema is refused and left alone", () => {
  openState(file)[Symbol.dispose]();
  sql(`PRAGMA user_version = ${migrations.length + 1}`);
  const before = readFileSync(file);
  const message = RegExp(`written by a newer banger.*schema ${migrations.length + 1}.*knows ${migrations.length}`);
  for (const open of [openState, inspectState]) {
    assert.throws(() => open(file), { code: "state.newer", message });
  }
  assert.deepEqual(readFileSync(file), before);
});

test("a damaged file, and one of another program, is refused and left alone", () => {
  const damage: Record<string, () => void> = {
    "not a database": () => writeFileSync(file, "these are not the bytes of a database\n".repeat(100)),
    "cut short": () => {
      openState(file)[Symbol.dispose]();
      const whole = readFileSync(file);
      writeFileSync(file, whole.subarray(0, whole.length / 2));
    },
    "a page of zeros": () => {
      openState(file)[Symbol.dispose]();
      const whole = readFileSync(file);
      writeFileSync(file, whole.fill(0, 4096, 8192));
    },
    "another program's": () => sql("CREATE TABLE notes (text TEXT)"),
  };
  for (const [name, make] of Object.entries(damage)) {
    rmSync(file, { force: true });
    make();
    const before = readFileSync(file);
    for (const open of [openState, inspectState]) {
      assert.throws(() => open(file), { code: "state.unreadable" }, name);
    }
    assert.deepEqual(readFileSync(file), before, name);
  }
});

test("a place where no file can be is an error that names it", () => {
  assert.throws(
    () => openState(join(dir, "none", "banger.db")),
    (error: Error) => error.message.includes("none"),
  );
  assert.throws(() => openState(dir), { code: "state.unreadable" });
});

test("a migration that fails is undone as a whole", () => {
  makeSchema1();
  const database = new DatabaseSync(file);
  const broken = [...migrations, "CREATE TABLE half (id TEXT) STRICT; DELETE FROM vms; INSERT INTO nowhere VALUES (1)"];
  assert.throws(() => migrate(database, broken), /nowhere/);
  assert.equal(schemaVersion(database), migrations.length, "the steps before it stay");
  assert.equal(database.prepare("SELECT count(*) AS n FROM vms").get()?.["n"], 1);
  assert.equal(database.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'half'").get()?.["n"], 0);
  database.close();
  openState(file)[Symbol.dispose]();
});

test("kill -9 in the middle of a migration leaves the older schema", async () => {
  makeSchema1();
  const child = startChild("half-migration.ts", file);
  assert.equal(await child.line(), "0");
  await child.kill();
  assert.deepEqual(inspectState(file), { schema: 1, currentSchema: migrations.length, vms: 1, images: 1, kernels: 1 });
  using state = openState(file);
  assert.equal(state.vms.list().length, 1);
});

test("two processes make and write one database at once; kill -9 of one loses nothing and leaves no half", async () => {
  const children = ["a", "b"].map((prefix) => startChild("writer.ts", file, prefix));
  const said = await Promise.all(
    children.map(async (child) => {
      for (let n = 0; n < 20; n++) assert.equal(await child.line(), String(n));
    }),
  ).then(() => Promise.all(children.map((child) => child.kill())));
  assert.equal(said.length, 2);

  const crashed = join(dir, "crashed.db");
  for (const suffix of ["", "-wal"]) if (existsSync(file + suffix)) copyFileSync(file + suffix, crashed + suffix);
  for (const name of [file, crashed]) {
    using state = openState(name);
    const vms = state.vms.list().map((vm) => vm.id);
    assert.deepEqual(
      vms.toSorted(),
      state.operations
        .list()
        .map((operation) => operation.id)
        .toSorted(),
    );
    for (const prefix of ["a", "b"]) for (let n = 0; n < 20; n++) assert.ok(vms.includes(`${prefix}-${n}`));
  }
});

test("a transaction is whole or not at all, also nested", () => {
  using state = openState(file);
  addParts(state);
  assert.throws(
    () =>
      state.transaction(() => {
        state.vms.insert(exampleVm());
        throw new Error("stop");
      }),
    /stop/,
  );
  assert.deepEqual(state.vms.list(), []);
  state.transaction(() => {
    state.vms.insert(exampleVm());
    assert.throws(() =>
      state.transaction(() => state.vms.update("0123456789ab", { name: "x" }) && state.vms.update("none", {})),
    );
  });
  assert.deepEqual(state.vms.list(), [exampleVm()]);
});
