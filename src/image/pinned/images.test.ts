// The list of pinned images that banger brings: every entry is complete, sorted, and signed off for the digest that it has.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { parseReference } from "../../registry/reference.ts";
import { imageCatalog } from "../catalog.ts";
import { readPinnedImages } from "./load.ts";
import { parsePinnedImages } from "./schema.ts";

const file = join(import.meta.dirname, "images.json");
const text = readFileSync(file, "utf8");
const images = parsePinnedImages(text, file);

describe("the images of banger", () => {
  test("each has what its users and its reviewers need", () => {
    assert.ok(images.length >= 10);
    const today = new Date().toISOString().slice(0, 10);
    for (const { name, reference, evidence = [], lookedUp = "", signedOff, platforms, downloadBytes } of images) {
      assert.ok(parseReference(reference).tag !== undefined, name);
      assert.ok(platforms?.includes("linux/amd64"), name);
      assert.ok(
        Object.keys(downloadBytes ?? {}).every((platform) => platforms?.includes(platform)),
        name,
      );
      assert.ok(lookedUp >= "2026-01-01" && lookedUp <= today, `${name}: looked up on ${lookedUp}`);
      // Either the registry itself was asked, or two sources agree.
      assert.ok(evidence[0]?.startsWith("registry ") === true || evidence.length >= 2, `${name}: evidence`);
      assert.ok(signedOff !== undefined && signedOff.by !== "", `${name}: nobody has signed it off`);
      assert.ok(signedOff.on >= lookedUp && signedOff.on <= today, `${name}: signed off on ${signedOff.on}`);
    }
  });

  test("they are sorted, and hide neither each other nor a recipe", () => {
    const names = images.map((image) => image.name);
    assert.deepEqual(names, names.toSorted());
    assert.deepEqual(
      imageCatalog.filter((recipe) => names.includes(recipe.name)).map((recipe) => recipe.name),
      [],
    );
    assert.equal(new Set(images.map((image) => image.digest)).size, images.length);
  });

  test("what is changed without a new sign-off is not accepted", () => {
    const [first] = images;
    const other = `sha256:${"0".repeat(64)}`;
    const changed = text.replace(`"digest": "${first?.digest ?? ""}"`, `"digest": "${other}"`);
    assert.notEqual(changed, text);
    assert.throws(() => parsePinnedImages(changed, file), { code: "config.invalid", message: /another digest/ });
  });
});

describe("a list of the user's own", { concurrency: false }, () => {
  let directory: string;
  let own: string;
  const entry = { name: "my-app", description: "ours", reference: "host/app:1", digest: `sha256:${"1".repeat(64)}` };
  const write = (...entries: object[]) => writeFileSync(own, JSON.stringify({ version: 1, images: entries }));

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "banger-pinned-"));
    own = join(directory, "images.json");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test("comes first, and has the last word on a name", async () => {
    write(entry, { ...entry, name: "debian-13" });
    const read = await readPinnedImages(own);
    assert.deepEqual(
      read.slice(0, 2).map(({ name, reference }) => [name, reference]),
      [
        ["my-app", "host/app:1"],
        ["debian-13", "host/app:1"],
      ],
    );
    assert.equal(read.filter(({ name }) => name === "debian-13").length, 1);
    assert.equal(read.length, images.length + 1);
    assert.deepEqual(await readPinnedImages(""), images);
  });

  test("what is wrong in it is told with its file and place", async () => {
    for (const [wrong, message] of [
      [{ ...entry, digest: "sha256:abc" }, /images\.0\.digest: a digest/],
      [{ ...entry, reference: "host/app" }, /images\.0\.reference: a reference with a tag/],
      [{ ...entry, reference: `host/app:1@${entry.digest}` }, /images\.0\.reference/],
      [{ ...entry, name: "debian" }, /images\.0\.name: a name with a "-"/],
      [{ ...entry, name: "../x-y" }, /images\.0\.name/],
      [{ ...entry, colour: "red" }, /images\.0\.colour/],
      [{ ...entry, lookedUp: "yesterday" }, /images\.0\.lookedUp: a date/],
    ] as const) {
      write(wrong);
      await assert.rejects(readPinnedImages(own), { code: "config.invalid", message });
      await assert.rejects(readPinnedImages(own), { message: new RegExp(`"${own}"`) });
    }
    write(entry, entry);
    await assert.rejects(readPinnedImages(own), { code: "config.invalid", message: /each name once/ });
    writeFileSync(own, "{");
    await assert.rejects(readPinnedImages(own), { code: "config.invalid" });
    writeFileSync(own, " ".repeat(2 * 1024 * 1024));
    await assert.rejects(readPinnedImages(own), { code: "config.unreadable", message: /larger/ });
    await assert.rejects(readPinnedImages(join(directory, "none")), { code: "config.unreadable" });
  });
});
