// Which disks a VM starts with: those of a template of its image when it has never started, its own otherwise, blank ones as a last resort.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { ImageRecord } from "../api/records.ts";
import { resolvePaths, vmPaths } from "../config/paths.ts";
import { ensureDisk, saveRecipe } from "../disk/blank.ts";
import { ensureDirectory } from "../lib/files.ts";
import { silentLogger } from "../lib/log.ts";
import { mib } from "../lib/units.ts";
import type { VmRow } from "../state/vms.ts";
import type { TemplateUse, VmContext } from "./context.ts";
import { prepareDisks } from "./fresh-root.ts";

const { signal } = new AbortController();
const row = {
  id: "0123456789ab",
  baseSnapshotId: null,
  diskEpoch: 0,
  spec: { vcpus: 1, memoryMib: 256, overlayBytes: 64 * mib, diskBytes: 96 * mib },
} as VmRow;

let home: string;
let context: Pick<VmContext, "paths" | "templates" | "log">;
let recipes: NonNullable<TemplateUse["disks"]>;
/** What was asked of the templates, and what became of uses. */
let events: string[];
let image: ImageRecord;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "banger-fresh-root-"));
  events = [];
  const paths = resolvePaths({ BANGER_HOME: home });
  await ensureDirectory(vmPaths(paths, row.id).dir);
  image = { id: "i1", name: "tools", rootfsPath: join(home, "rootfs.ext4") } as ImageRecord;
  writeFileSync(image.rootfsPath, "root");
  recipes = { overlay: join(home, "overlay.recipe"), work: join(home, "work.recipe") };
  for (const [serial, sizeBytes] of [
    ["overlay", row.spec.overlayBytes],
    ["work", row.spec.diskBytes],
  ] as const) {
    const model = join(home, `${serial}.model`);
    await ensureDisk(model, "of-template", sizeBytes, signal);
    await saveRecipe(model, recipes[serial], { signal });
    rmSync(model);
  }
  context = {
    paths,
    log: silentLogger,
    templates: {
      take: (id: string) => {
        events.push("take");
        assert.match(id, /^[0-9a-f]{64}$/);
        const capture = { memoryFile: "/m", stateFile: "/s" };
        return { id, capture, disks: recipes, [Symbol.dispose]: () => void events.push("let go") };
      },
      discard: async () => void events.push("discard"),
    } as unknown as VmContext["templates"],
  };
});
afterEach(() => rmSync(home, { recursive: true }));

const disk = (serial: "overlay" | "work") => `${vmPaths(context.paths, row.id).dir}/${serial}.ext4`;
/** The label of the file system: blank disks have their role. */
const label = (serial: "overlay" | "work") => {
  execFileSync("e2fsck", ["-fn", disk(serial)], { stdio: "pipe" });
  return execFileSync("e2label", [disk(serial)], { encoding: "utf8" }).trim();
};
const prepare = (change: { cold?: boolean; row?: Partial<VmRow> } = {}) =>
  prepareDisks(
    context,
    { ...row, ...change.row },
    { image, shape: "f".repeat(64), cold: change.cold ?? false, signal },
  );

test("a VM that has never started gets the disks of its image's template", async () => {
  const { own, root } = await prepare();
  assert.equal(own?.id, root?.fingerprint);
  assert.deepEqual([root?.root.image.id, root?.root.overlayBytes, root?.root.shape], ["i1", 64 * mib, "f".repeat(64)]);
  assert.deepEqual([label("overlay"), label("work"), events], ["of-template", "of-template", ["take"]]);
  assert.equal(statSync(disk("work")).mode & 0o777, 0o600);
});

test("one whose disks are there keeps them, and no template of an image fits", async () => {
  await prepare();
  events.length = 0;
  writeFileSync(disk("work"), "the user's");
  assert.deepEqual(await prepare(), {});
  assert.equal(readFileSync(disk("work"), "utf8"), "the user's");
  rmSync(disk("overlay"));
  assert.deepEqual(await prepare(), {});
  assert.deepEqual([label("overlay"), events], ["overlay", []]);
});

test("a boot and a VM of a snapshot take none", async () => {
  const { own, root } = await prepare({ cold: true });
  assert.deepEqual([own, root?.root.image.id, label("overlay"), events], [undefined, "i1", "overlay", []]);
  rmSync(disk("overlay"));
  rmSync(disk("work"));
  assert.deepEqual(await prepare({ row: { baseSnapshotId: "s" } }), {});
  assert.ok(!existsSync(disk("overlay")));
});

test("a template whose disks are damaged is let go and removed; the VM gets blank ones", async () => {
  writeFileSync(recipes.work, readFileSync(recipes.work).fill(7, 100, 120));
  const { own } = await prepare();
  assert.equal(own, undefined);
  assert.deepEqual(events, ["take", "let go", "discard"]);
  assert.equal(label("work"), "work");
});

test("so does one whose disks are gone", async () => {
  rmSync(recipes.overlay);
  assert.equal((await prepare()).own, undefined);
  assert.deepEqual(events, ["take", "let go", "discard"]);
  assert.equal(label("overlay"), "overlay");
});

test("disks of which nobody can say whether they are there are not written over", async () => {
  const { dir } = vmPaths(context.paths, row.id);
  rmSync(dir, { recursive: true });
  writeFileSync(dir, "");
  await assert.rejects(prepare(), { code: "ENOTDIR" });
  assert.deepEqual(events, []);
});

test("without the image's file there is nothing to ask for: the start says what is wrong", async () => {
  rmSync(image.rootfsPath);
  assert.deepEqual(await prepare(), {});
  assert.deepEqual(events, []);
});
