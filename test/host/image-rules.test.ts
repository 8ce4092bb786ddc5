// Images on which tools disagree: each is what umoci makes of it, entry by entry, or what the rules of this project say instead.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, describe, test } from "node:test";
import { buildRootfs } from "../../src/image/layer/build.ts";
import { defaultLimits } from "../../src/image/layer/limits.ts";
import { archive } from "../../src/image/testdata/archive.ts";
import { assertSound } from "../../src/image/testdata/ext4.ts";
import { quietProgress } from "../../src/lib/progress.ts";
import { attributesOf, factsOf, withMounted } from "../support/mounted.ts";
import { specialImages } from "../support/special-images.ts";
import type { SpecialImage } from "../support/special-images.ts";
import { unpackWithUmoci } from "../support/umoci.ts";

const startedAt = Math.floor(Date.now() / 1000);
const directory = mkdtempSync(join(tmpdir(), "banger-rules-"));
after(() => rmSync(directory, { recursive: true }));

async function build(image: SpecialImage, target: string): Promise<void> {
  const layers = image.layers.map((content, index) => ({
    label: `L${index + 1}`,
    diffId: undefined,
    open: async () => Readable.from([tarOf(content)]),
  }));
  const progress = quietProgress(new AbortController().signal);
  await buildRootfs({ layers, target, kind: "layers", limits: defaultLimits }, progress);
}

const tarOf = (content: SpecialImage["layers"][number]): Buffer =>
  Buffer.isBuffer(content) ? content : archive(content);

async function check(image: SpecialImage): Promise<void> {
  const own = mkdtempSync(join(directory, "image-"));
  const target = join(own, "rootfs.ext4");
  const { refused, umoci, gives } = image;
  const isTried = umoci?.startsWith("not tried") !== true;
  const reference = isTried ? unpackWithUmoci(own, image.layers.map(tarOf)) : undefined;
  if (refused !== undefined) {
    await assert.rejects(build(image, target), { code: "image.invalid", message: refused });
    if (umoci === undefined) assert.equal(reference?.root, undefined, "umoci takes it");
    return;
  }
  await build(image, target);
  assertSound(target);
  const mounted = join(own, "mounted");
  const look = (root: string) => factsOf(root, startedAt).set("attributes", { what: attributesOf(root), more: "" });
  const found = withMounted(target, mounted, () => look(mounted));
  found.delete("lost+found");
  const wanted = reference?.root === undefined ? undefined : look(reference.root);
  for (const [name, { what, more }] of wanted ?? []) {
    // Umoci does not set a directory's time again after it has changed what is in it.
    const mine = found.get(name);
    if (what === "directory" && more.endsWith(" 0") && mine !== undefined) mine.more = mine.more.replace(/ \d+$/, " 0");
  }
  if (gives === undefined) {
    assert.equal(umoci, undefined, "what is not as umoci has it says what it is");
    assert.ok(wanted !== undefined, `umoci refuses it: ${reference?.said}`);
    assert.deepEqual(found, wanted);
    return;
  }
  if (isTried) assert.notDeepEqual(wanted, found, "umoci has the same: nothing has to be said of it");
  for (const name of ["", "attributes"]) found.delete(name);
  assert.deepEqual(Object.fromEntries([...found].map(([path, { what }]) => [path, what])), gives);
}

for (const [area, images] of Object.entries(specialImages)) {
  describe(area, () => {
    for (const [name, image] of Object.entries(images)) test(name, () => check(image));
  });
}
