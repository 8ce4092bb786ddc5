// Pulls from a real registry: several at once, a prune in between, names of one content, an image for another machine.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ImageRecord } from "../../src/api/records.ts";
import { makeImage, type TestImage, writeLayoutFiles } from "../../src/image/oci/testdata/layout.ts";
import { type RealRegistry, startRegistry } from "../../src/registry/testdata/docker-registry.ts";
import { Home } from "../support/home.ts";

const mib = 1024 ** 2;

describe("pulls from a registry", { concurrency: false }, () => {
  let directory: string;
  let registry: RealRegistry;
  let home: Home;
  let images: TestImage[];
  const reference = (tag: number) => `${registry.host}/app:${tag}`;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-pull-"));
    registry = await startRegistry();
    home = new Home({ seeded: false });
    // Two images with three layers in common.
    const shared = [8, 4, 2].map((size, index) => [{ path: `shared-${index}`, data: randomBytes(size * mib) }]);
    images = [1, 2].map((tag) => makeImage([...shared, [{ path: "own", data: randomBytes(tag * mib) }]]));
    for (const [index, image] of images.entries()) {
      const layout = join(directory, `app-${index + 1}`);
      writeLayoutFiles(layout, [{ image, name: "x" }]);
      const to = `docker://${reference(index + 1)}`;
      const copied = spawnSync("skopeo", ["copy", "--dest-tls-verify=false", `oci:${layout}:x`, to], {
        encoding: "utf8",
      });
      assert.equal(copied.status, 0, copied.stderr);
    }
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  const digestsOf = async () => {
    const list = await home.json<ImageRecord[]>(["image", "list"]);
    return list.map((record) => record.digests?.manifest ?? "").toSorted();
  };
  const forget = async () => {
    const list = await home.json<ImageRecord[]>(["image", "list"]);
    if (list.length > 0) await home.ok(["image", "delete", ...list.map((record) => record.id)]);
    await home.ok(["image", "cache", "prune"]);
  };

  test("several at once share blobs, and a prune takes none that is read", async () => {
    const pulls = [1, 1, 2].map((tag) => home.ok(["image", "pull", reference(tag)]));
    const prunes = [1, 2, 3, 4].map(() => home.ok(["image", "cache", "prune"]));
    await Promise.all([...pulls, ...prunes]);
    assert.deepEqual(await digestsOf(), images.map((image) => image.digest).toSorted());
    const { bad } = await home.json<{ bad: string[] }>(["image", "cache", "verify"]);
    assert.deepEqual(bad, []);
    const left = readdirSync(join(home.files, "cache")).filter((name) => /pruned|new-/.test(name));
    assert.deepEqual(left, []);
    await forget();
  });

  test("a pull and an import print the name that they gave, also when the same content has others", async () => {
    const also = reference(1).replace("127.0.0.1", "localhost");
    const printed = async (...args: string[]) => (await home.ok(["image", ...args])).stdout.trim();
    assert.equal(await printed("pull", reference(1)), reference(1));
    assert.equal(await printed("pull", also), also);
    assert.equal(await printed("pull", reference(1)), reference(1));
    const layout = join(directory, "app-1");
    assert.equal(await printed("import", layout, "--name", "mine"), "mine");
    assert.equal(await printed("pull", also), also);
    assert.equal(await printed("import", layout, "--name", "mine", "--force"), "mine");
    const [only, ...more] = await home.json<ImageRecord[]>(["image", "list"]);
    assert.deepEqual([only?.name, only?.tags, more], ["mine", [reference(1), also].toSorted(), []]);
    await forget();
  });

  test("an image for another machine is there when it is asked for, but no VM is made of it", async () => {
    const architecture = process.arch === "arm64" ? "amd64" : "arm64";
    const layout = join(directory, "other");
    writeLayoutFiles(layout, [{ image: makeImage([[{ path: "a" }]], { architecture }), name: "x" }]);
    await home.ok(["image", "import", layout, "--platform", `linux/${architecture}`, "--name", "other"]);
    const { code, stderr } = await home.run(["vm", "create", "--image", "other", "--no-start"]);
    assert.equal(code, 1);
    assert.match(stderr, /image "other" is for linux\/\w+, and this machine runs linux\/\w+: .*\(vm\.spec-invalid\)/);
    assert.deepEqual(await home.vms(), []);
    await forget();
  });
});
