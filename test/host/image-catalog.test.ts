// The image catalog as a user sees it: a list of their own, a real registry, and one that lies.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ResultOf } from "../../src/api/methods.ts";
import type { ImageRecord } from "../../src/api/records.ts";
import { mediaTypes } from "../../src/image/oci/media-types.ts";
import { makeImage, writeLayoutFiles } from "../../src/image/oci/testdata/layout.ts";
import { type RealRegistry, startRegistry } from "../../src/registry/testdata/docker-registry.ts";
import { Home } from "../support/home.ts";

describe("the image catalog", { concurrency: false }, () => {
  let directory: string;
  let registry: RealRegistry;
  let home: Home;
  const image = makeImage([[{ path: "bin/app", data: "of the catalog" }]]);
  const newer = makeImage([[{ path: "bin/app", data: "of the tag" }]]);
  const gone = `sha256:${"7".repeat(64)}`;
  /** Answers every request with a manifest that is not the one that was asked for. */
  const liar = createServer((_request, response) => {
    response.setHeader("content-type", mediaTypes.ociManifest).end(newer.manifest);
  });
  const list = () => join(directory, "images.json");

  const push = (tag: string, pushed: typeof image) => {
    const layout = join(directory, pushed.digest.slice(7, 19));
    writeLayoutFiles(layout, [{ image: pushed, name: "x" }]);
    const args = ["copy", "--dest-tls-verify=false", `oci:${layout}:x`, `docker://${registry.host}/${tag}`];
    const copied = spawnSync("skopeo", args, { encoding: "utf8" });
    assert.equal(copied.status, 0, copied.stderr);
  };

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-catalog-"));
    registry = await startRegistry();
    await new Promise<void>((resolve) => liar.listen(0, "127.0.0.1", resolve));
    push("app:1", image);
    push("app:1", newer);
    const lies = `127.0.0.1:${(liar.address() as AddressInfo).port}`;
    const entry = (name: string, reference: string, digest: string) => ({
      name,
      description: "ours",
      reference,
      digest,
    });
    const images = [
      entry("app-1.0", `${registry.host}/app:1`, image.digest),
      entry("app-gone", `${registry.host}/app:1`, gone),
      entry("app-lie", `${lies}/app:1`, image.digest),
    ];
    writeFileSync(list(), JSON.stringify({ version: 1, images }));
    home = new Home({ seeded: false });
    writeFileSync(join(home.path, "config.toml"), `image_catalog = "${list()}"\n`);
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    const closed = new Promise((resolve) => liar.close(resolve));
    liar.closeAllConnections();
    await closed;
    rmSync(directory, { recursive: true });
  });

  test("is one table: recipes, the user's images, those of banger", async () => {
    const { stdout } = await home.ok(["image", "catalog"]);
    assert.match(stdout, /^NAME +PULLED +FROM +DIGEST +DOWNLOAD +DESCRIPTION\n/);
    assert.match(stdout, /^debian-bookworm +no +\(built of packages\) +- +- +Debian 12/m);
    assert.match(
      stdout,
      new RegExp(`^app-1\\.0 +no +${registry.host}/app:1 +${image.digest.slice(7, 19)} +- +ours$`, "m"),
    );
    assert.match(stdout, /^debian-13 +no +debian:13 +[0-9a-f]{12} +[\d.]+ MiB +Debian 13/m);
    const names = (await home.ok(["image", "catalog", "--quiet"])).stdout.trim().split("\n");
    assert.ok(names.indexOf("app-1.0") < names.indexOf("debian-13"));
  });

  test("a name is the pinned content although the tag has moved", async () => {
    assert.equal((await home.ok(["image", "pull", "app-1.0"])).stdout, "app-1.0\n");
    const record = await home.json<ImageRecord & { rootfs_path: string }>(["image", "show", "app-1.0"]);
    assert.equal(record.rootfs_path, record.rootfsPath);
    assert.deepEqual([record.name, record.tags, record.digests?.reference], ["app-1.0", [], image.digest]);
    const entries = await home.json<ResultOf<"image.catalog">["entries"]>(["image", "catalog"]);
    assert.equal(entries.find(({ name }) => name === "app-1.0")?.present, true);
    const tagged = await home.json<ImageRecord>(["image", "pull", `${registry.host}/app:1`]);
    assert.equal(tagged.digests?.reference, newer.digest);
    assert.equal((await home.json<ImageRecord>(["image", "show", "app-1.0"])).digests?.reference, image.digest);
    await home.ok(["image", "delete", "app-1.0", tagged.id]);
  });

  test("a digest that is gone, and one that is a lie: what is wrong, and nothing is left", async () => {
    const missing = await home.run(["image", "pull", "app-gone"]);
    assert.equal(missing.code, 1);
    assert.match(
      missing.stderr,
      new RegExp(`pinned to ${registry.host}/app:1@${gone}, which the registry does not have`),
    );
    assert.match(missing.stderr, new RegExp(`hint: banger image pull ${registry.host}/app:1 `));
    const lied = await home.run(["image", "pull", "app-lie"]);
    assert.equal(lied.code, 1);
    assert.match(lied.stderr, /\(image\.invalid\)/);
    assert.ok(lied.stderr.includes(newer.digest), lied.stderr);
    assert.deepEqual(await home.json(["image", "list"]), []);
  });

  test("a list that is not valid keeps the daemon from starting, with its file and place", async () => {
    await home.ok(["daemon", "stop"]);
    writeFileSync(list(), JSON.stringify({ version: 1, images: [{ name: "app-1.0" }] }));
    const ran = await home.run(["image", "list"]);
    assert.notEqual(ran.code, 0);
    assert.ok(ran.stderr.includes(`the image catalog "${list()}" is not valid: images.0.description`), ran.stderr);
    writeFileSync(list(), JSON.stringify({ version: 1, images: [] }));
    await home.ok(["image", "list"]);
  });
});
