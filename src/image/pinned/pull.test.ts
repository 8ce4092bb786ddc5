// Images of the catalog in the image store: which content a name means, who may have the name, and what is refused.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { ensurePaths, resolvePaths } from "../../config/paths.ts";
import { BangerError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { quietProgress } from "../../lib/progress.ts";
import { openState, type State } from "../../state/open.ts";
import { makeImage, MemoryRepository } from "../oci/testdata/layout.ts";
import { type ImageStore, openImageStore } from "../store.ts";
import type { PinnedImage } from "./schema.ts";

const old = makeImage([[{ path: "a", data: "old" }]]);
const newer = makeImage([[{ path: "a", data: "newer" }]]);
const entry: PinnedImage = { name: "app-1.0", description: "an app", reference: "app:1", digest: old.digest };

let root: string;
let state: State;
let repository: MemoryRepository;
/** References that were opened. */
let asked: string[];

const open = (...pinned: PinnedImage[]) =>
  openImageStore({
    paths: resolvePaths({ BANGER_HOME: root }),
    table: state.images,
    usedBy: () => [],
    log: silentLogger,
    catalog: [{ name: "recipe", description: "a recipe", architecture: "amd64", suite: "bookworm", packages: [] }],
    pinned,
    registries: {
      normalize: (text) => (text.includes(":") ? text : `${text}:latest`),
      open(text) {
        asked.push(text);
        const reference = text.includes("@") ? text.slice(text.indexOf("@") + 1) : text.slice(text.indexOf(":") + 1);
        return { source: repository, reference, async [Symbol.asyncDispose]() {} };
      },
    },
  });
const pull = (store: ImageStore, name: string, force = false) =>
  store.pull(name, { force }, quietProgress(new AbortController().signal));

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-pinned-"));
  await ensurePaths(resolvePaths({ BANGER_HOME: root }));
  state = openState(join(root, "banger.db"));
  asked = [];
  repository = new MemoryRepository();
  repository.add("1", old);
  repository.add("1", newer);
});
afterEach(() => {
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

describe("images of the catalog", { concurrency: false }, () => {
  test("a name means the pinned content, not what the tag is; it is listed, found, renamed, removed by it", async () => {
    const store = await open(entry);
    assert.ok(store.inCatalog("app-1.0"));
    assert.throws(() => store.resolve("app-1.0"), { code: "image.not-found", hint: "banger image pull app-1.0" });
    const listed = () =>
      store.catalog().map(({ name, from, reference, digest, present }) => [name, from, reference, digest, present]);
    assert.deepEqual(listed(), [
      ["recipe", "packages", null, null, false],
      ["app-1.0", "registry", "app:1", old.digest, false],
    ]);
    const record = await pull(store, "app-1.0");
    assert.deepEqual([record.name, record.tags, record.source], ["app-1.0", [], `registry:app:1@${old.digest}`]);
    assert.equal(record.digests?.reference, old.digest);
    assert.deepEqual(asked, [`app:1@${old.digest}`]);
    assert.equal(listed()[1]?.at(-1), true);
    for (const name of ["app-1.0", `app@${old.digest}`, record.id]) assert.equal(store.resolve(name).id, record.id);
    await store.tag("app-1.0", "mine", {});
    await store.untag("app-1.0");
    assert.equal(store.resolve("mine").id, record.id);
    assert.equal(listed()[1]?.at(-1), true, "it is there, whatever it is called");
    await store.delete("mine");
    assert.equal(listed()[1]?.at(-1), false);
  });

  test("what is there already is not asked for again, and gets the name", async () => {
    const store = await open(entry);
    const first = await pull(store, "app-1.0");
    await pull(store, "app-1.0");
    assert.equal(asked.length, 1);
    await store.tag("app-1.0", "mine", {});
    await store.untag("app-1.0");
    const again = await pull(store, "app-1.0");
    assert.deepEqual([again.id, again.name, again.tags], [first.id, "app-1.0", ["mine"]]);
    assert.equal(asked.length, 1);
  });

  test("a newer digest of the entry takes the name; the image of the older one goes", async () => {
    await pull(await open(entry), "app-1.0");
    const store = await open({ ...entry, digest: newer.digest });
    const before = store.resolve("app-1.0").id;
    const record = await pull(store, "app-1.0");
    assert.notEqual(record.id, before);
    assert.deepEqual(
      store.list().map(({ name, tags }) => [name, tags]),
      [["app-1.0", []]],
    );
  });

  test("an image that has the name and is something else keeps it, unless forced", async () => {
    const store = await open(entry);
    repository.add("2", newer);
    const mine = await pull(store, "other:2");
    const plain = await open({ ...entry, name: "app-1" });
    await plain.tag("other:2", "app-1", {});
    await assert.rejects(pull(plain, "app-1"), { code: "image.exists", hint: /^banger image pull app:1 / });
    assert.equal(plain.resolve("app-1").id, mine.id, "a local name comes first");
    const forced = await pull(plain, "app-1", true);
    assert.equal(plain.resolve("app-1").id, forced.id);
    assert.equal(plain.resolve("other:2").id, mine.id);
  });

  test("a digest that the registry has no more: which, and what can be done", async () => {
    const gone = `sha256:${"3".repeat(64)}`;
    const store = await open({ ...entry, digest: gone });
    repository.manifest = async (reference) => {
      throw new BangerError("image.not-found", `no ${reference}`);
    };
    await assert.rejects(pull(store, "app-1.0"), {
      code: "image.not-found",
      message: `image "app-1.0" is pinned to app:1@${gone}, which the registry does not have (any more)`,
      hint: /^banger image pull app:1 /,
    });
    assert.deepEqual(store.list(), []);
  });

  test("other bytes under the pinned digest are refused", async () => {
    const store = await open(entry);
    const [bytes, mediaType] = [newer.manifest, "application/vnd.oci.image.manifest.v1+json"];
    repository.manifest = async () => ({ bytes, mediaType, digest: old.digest });
    await assert.rejects(pull(store, "app-1.0"), { code: "image.invalid", message: /digest/ });
    assert.deepEqual(store.list(), []);
  });

  test("an entry that is for other machines is told before the registry is asked", async () => {
    const store = await open({ ...entry, platforms: ["linux/s390x"], downloadBytes: { "linux/s390x": 7 } });
    const found = store.catalog().find(({ name }) => name === "app-1.0");
    assert.deepEqual([found?.architecture, found?.downloadBytes], ["s390x", 7]);
    await assert.rejects(pull(store, "app-1.0"), { code: "image.not-found", message: /it is for linux\/s390x/ });
    assert.deepEqual(asked, []);
  });

  test("an entry may have the name of a recipe, and hides it", async () => {
    const store = await open({ ...entry, name: "recipe" });
    assert.deepEqual(
      store.catalog().map(({ from }) => from),
      ["registry"],
    );
    assert.equal((await pull(store, "recipe")).digests?.manifest, old.digest);
  });
});
