// What a daemon makes of snapshots that the one before it left at any point, and of names that people give.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { vmPaths } from "../../config/paths.ts";
import { exampleSnapshot } from "../../state/testdata/rows.ts";
import { snapshotFiles } from "../disk-files.ts";
import { recoverSnapshots } from "./recover.ts";
import { findSnapshot, numberedName } from "./reference.ts";
import { type Harness, harness, quiet } from "./testdata/harness.ts";

const vmId = "0123456789ab";
let home: Harness;
beforeEach(async () => {
  home = await harness();
  home.addRunning("box");
});
afterEach(() => home[Symbol.dispose]());

/** The row and files of a snapshot that a killed daemon was making. */
function leaveHalf(id: string, name: string | null): void {
  home.context.state.snapshots.insert(exampleSnapshot({ id, name, complete: false, fingerprint: null, vmId }));
  const files = snapshotFiles(home.context.paths, id);
  mkdirSync(files.dir);
  for (const path of [files.memoryFile, files.stateFile, files.disk("overlay", "raw"), files.disk("work", "raw")]) {
    writeFileSync(path, "half");
  }
}

test("a snapshot that was being made is gone, with its name", async () => {
  leaveHalf("half", "keep");
  await recoverSnapshots(home.context);
  assert.deepEqual(home.snapshotDirs(), []);
  assert.deepEqual(home.context.state.snapshots.list(), []);
  await home.snapshots.create({ vm: "box", name: "keep" }, quiet());
});

test("one that the VM rests on already keeps its disks, and nothing else", async () => {
  leaveHalf("half", "keep");
  home.context.state.vms.update(vmId, { baseSnapshotId: "half", diskEpoch: 1 });
  await recoverSnapshots(home.context);
  const files = snapshotFiles(home.context.paths, "half");
  assert.deepEqual([existsSync(files.memoryFile), existsSync(files.disk("overlay", "raw"))], [false, true]);
  assert.deepEqual(home.snapshots.list(), []);
  await recoverSnapshots(home.context);
  assert.deepEqual(home.snapshotDirs(), ["half"]);
});

test("memory of a fork that was under way, directories without a row, and strange disks are removed", async () => {
  const kept = await home.snapshots.create({ vm: "box", name: "keep" }, quiet());
  home.context.state.snapshots.insert(exampleSnapshot({ id: "anonymous", name: null, vmId, fingerprint: "f" }));
  for (const id of ["anonymous", "unknown"]) {
    mkdirSync(snapshotFiles(home.context.paths, id).dir);
    writeFileSync(snapshotFiles(home.context.paths, id).memoryFile, "memory");
  }
  const { dir } = vmPaths(home.context.paths, vmId);
  const before = home.diskFiles(vmId);
  for (const name of ["overlay.ext4", "work.7.abc.qcow2", "overlay.2.abc.qcow2.0a1b.tmp", "work.ext4.new"]) {
    writeFileSync(join(dir, name), "left over");
  }
  writeFileSync(join(dir, "known_hosts"), "");
  await recoverSnapshots(home.context);
  assert.deepEqual(home.snapshotDirs(), [kept.id]);
  assert.deepEqual(home.diskFiles(vmId), before);
  assert.ok(existsSync(join(dir, "known_hosts")));
  assert.deepEqual(home.snapshots.show("keep").memory, true);
});

test("halves of disks that were being merged are removed from a snapshot that stays", async () => {
  const kept = await home.snapshots.create({ vm: "box", name: "keep" }, quiet());
  const { dir } = snapshotFiles(home.context.paths, kept.id);
  const before = readdirSync(dir);
  for (const name of ["overlay.ext4.0a1b2c3d4e5f.tmp", "work.qcow2.new", "work.qcow2.new.0a1b2c3d4e5f.tmp"]) {
    writeFileSync(join(dir, name), "half");
  }
  await recoverSnapshots(home.context);
  assert.deepEqual(readdirSync(dir), before);
});

test("disks of a VM whose record cannot be trusted are not touched", async () => {
  const { dir } = vmPaths(home.context.paths, vmId);
  writeFileSync(join(dir, "overlay.1.abc.qcow2"), "");
  home.context.state.vms.update(vmId, { state: "broken" });
  await recoverSnapshots(home.context);
  assert.ok(existsSync(join(dir, "overlay.1.abc.qcow2")));
});

describe("references", () => {
  const rows = [
    exampleSnapshot({ id: "aa11", name: "base" }),
    exampleSnapshot({ id: "aa22", name: "base-two" }),
    exampleSnapshot({ id: "bb33", name: null }),
    exampleSnapshot({ id: "cc44", name: "half", complete: false }),
  ];
  test("a name, an id, or a prefix that fits only one", () => {
    assert.equal(findSnapshot(rows, "base").id, "aa11");
    assert.equal(findSnapshot(rows, "aa22").name, "base-two");
    assert.equal(findSnapshot(rows, "base-").name, "base-two");
    assert.throws(() => findSnapshot(rows, "aa"), { code: "snapshot.ambiguous", message: /base, base-two/ });
    for (const reference of ["bb33", "half", "cc44", "x"]) {
      assert.throws(() => findSnapshot(rows, reference), { code: "snapshot.not-found" });
    }
  });

  test("a free name is numbered, and never longer than a name may be", () => {
    const taken = new Set(["box-1", "box-2"]);
    const isTaken = (name: string) => taken.has(name);
    assert.equal(numberedName("box", isTaken), "box-3");
    assert.equal(numberedName("Debian 12/x", isTaken), "debian-12-x-1");
    assert.equal(numberedName("a".repeat(80), isTaken), `${"a".repeat(61)}-1`);
    assert.equal(numberedName("---", isTaken), "1");
  });
});
