// Pulls of what is there already: what --force makes again, and where --insecure is remembered.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { silentLogger } from "../lib/log.ts";
import { quietProgress } from "../lib/progress.ts";
import { openState, type State } from "../state/open.ts";
import type { Registries } from "./oci/source.ts";
import { makeImage, MemoryRepository } from "./oci/testdata/layout.ts";
import { type ImageStore, openImageStore, type PullRequest } from "./store.ts";
import { assertSound } from "./testdata/ext4.ts";
import { storePaths } from "./testdata/store-paths.ts";

let root: string;
let state: State;
let store: ImageStore;
let users: Record<string, string[]>;
let repository: MemoryRepository;
/** Reference and --insecure of each repository that was opened. */
let opened: [reference: string, insecure: boolean][];

const registries: Registries = {
  normalize: (text) => (text.includes(":") ? text : `${text}:latest`),
  open(text, { insecure }) {
    opened.push([text, insecure]);
    return { source: repository, reference: text.slice(text.indexOf(":") + 1), async [Symbol.asyncDispose]() {} };
  },
};
const open = () =>
  openImageStore({
    paths: storePaths(root),
    table: state.images,
    usedBy: (id) => users[id] ?? [],
    log: silentLogger,
    catalog: [],
    registries,
  });
const quiet = () => quietProgress(new AbortController().signal);
const pull = (name: string, request: PullRequest = {}) => store.pull(name, request, quiet());
const image = makeImage([[{ path: "a", data: "one" }], [{ path: "b", data: "two" }]]);
const newer = makeImage([[{ path: "a", data: "one" }], [{ path: "b", data: "three" }]]);

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-pull-again-"));
  state = openState(join(root, "banger.db"));
  users = {};
  opened = [];
  repository = new MemoryRepository();
  for (const tag of ["1", "2"]) repository.add(tag, image);
  store = await open();
});
afterEach(() => {
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

describe("pulls with --force", { concurrency: false }, () => {
  test("a damaged disk is made again, under the names that it has", async () => {
    const first = await pull("app:1");
    assert.equal(first.pulled.outcome, "made");
    await store.tag("app:1", "mine", {});
    const bytes = readFileSync(first.rootfsPath);
    writeFileSync(first.rootfsPath, "damaged");
    assert.equal((await pull("app:1")).pulled.outcome, "present");
    const again = await pull("app:1", { force: true });
    assert.equal(again.pulled.outcome, "rebuilt");
    assert.deepEqual([again.id, again.createdAt], [first.id, first.createdAt]);
    assert.deepEqual([again.name, ...again.tags].toSorted(), ["app:1", "mine"]);
    assert.deepEqual(readFileSync(again.rootfsPath), bytes);
    assertSound(again.rootfsPath);
    assert.deepEqual(readdirSync(join(root, "images")), [first.id], "no staging directory is left");
  });

  test("what the record says of the disk is brought up to date, also for a later daemon", async () => {
    const { rootfsPath, sizeBytes } = await pull("app:1");
    const manifest = join(dirname(rootfsPath), "manifest.json");
    const [row] = state.images.list();
    assert.ok(row !== undefined);
    const older = JSON.stringify({ ...(JSON.parse(row.manifest) as object), sizeBytes: 1 });
    state.images.remove(row.id);
    state.images.insert({ ...row, manifest: older });
    writeFileSync(manifest, older);
    store = await open();
    assert.equal(store.resolve("app:1").sizeBytes, 1);
    await pull("app:1", { force: true });
    store = await open();
    assert.equal(store.resolve("app:1").sizeBytes, sizeBytes);
    assert.equal(readFileSync(manifest, "utf8"), state.images.list()[0]?.manifest);
  });

  test("refused while a VM uses the image, also one that comes meanwhile; a tag that moved is another image", async () => {
    const { id, rootfsPath } = await pull("app:1");
    writeFileSync(rootfsPath, "what the guest has open");
    const refused = { code: "image.in-use", message: /"app:1" is used by VM "box"/ };
    users = { [id]: ["box"] };
    const before = repository.opened.length;
    await assert.rejects(pull("app:1", { force: true }), refused);
    assert.equal(repository.opened.length, before + 1, "refused before a layer is read: only the config was");
    users = {};
    await store.cache.prune({ dryRun: false });
    repository.hold = async () => void (users = { [id]: ["box"] });
    await assert.rejects(pull("app:1", { force: true }), refused);
    assert.equal(readFileSync(rootfsPath, "utf8"), "what the guest has open");
    assert.deepEqual(readdirSync(join(root, "images")), [id]);
    repository.add("1", newer);
    assert.equal((await pull("app:1", { force: true })).pulled.outcome, "made");
    assert.equal(readFileSync(rootfsPath, "utf8"), "what the guest has open", "the VM's image goes on under its id");
  });
});

describe("pulls with --insecure", { concurrency: false }, () => {
  const secret = () => join(root, "insecure-images.json");

  test("remembered for the reference, over a restart, and for an export; for no other reference", async () => {
    assert.equal((await pull("app:1", { insecure: true })).pulled.insecure, true);
    store = await open();
    assert.equal((await pull("app:1")).pulled.insecure, true);
    assert.equal((await pull("app:2")).pulled.insecure, false);
    await store.cache.prune({ dryRun: false });
    await store.export({ image: "app:1", path: join(root, "out") }, quiet());
    assert.deepEqual(opened, [
      ["app:1", true],
      ["app:1", true],
      ["app:2", false],
      ["app:1", true],
    ]);
  });

  test("taken back by a pull that says so, and by the removal of the image", async () => {
    await pull("app:1", { insecure: true });
    await pull("app:1", { insecure: false });
    await pull("app:1");
    await pull("app:1", { insecure: true });
    await store.delete("app:1");
    assert.equal(readFileSync(secret(), "utf8"), "{}\n");
    await pull("app:1");
    assert.deepEqual(
      opened.map(([, insecure]) => insecure),
      [true, false, false, true, false],
    );
  });
});
