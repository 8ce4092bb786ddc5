// Which commits wait for the disk, and how to wait for it afterwards.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { openState } from "./open.ts";
import { settled, unhurried } from "./unhurried.ts";

const levelOf = (database: DatabaseSync) => database.prepare("PRAGMA synchronous").get()?.["synchronous"];
const [normal, full] = [1, 2];

test("the commits of the table do not wait for the disk, all others do", () => {
  using database = new DatabaseSync(":memory:");
  database.exec("PRAGMA synchronous = FULL");
  const table = unhurried(database, { level: () => levelOf(database), fail: () => assert.fail("on purpose") });
  assert.equal(table.level(), normal);
  assert.throws(table.fail, /on purpose/);
  assert.equal(levelOf(database), full);
  database.exec("BEGIN");
  assert.equal(table.level(), full, "in a transaction of somebody else");
  database.exec("COMMIT");
});

test("settled reads the log's file, and is done without one", async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "banger-settled-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "state.db");
  await settled(file);
  using state = openState(file);
  state.images.insert({ id: "1", name: "one", manifest: "{}", createdAt: 1 });
  assert.ok(existsSync(`${file}-wal`));
  await state.images.settled();
  assert.equal(state.images.get("1")?.name, "one");
});
