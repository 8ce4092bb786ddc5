// The refresh of the image catalog against a real registry: what moved is shown, and written only with a sign-off.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { digestOf } from "../../src/image/oci/digest.ts";
import { mediaTypes } from "../../src/image/oci/media-types.ts";
import { makeImage, type TestImage, writeLayoutFiles } from "../../src/image/oci/testdata/layout.ts";
import { parsePinnedImages } from "../../src/image/pinned/schema.ts";
import { type RealRegistry, startRegistry } from "../../src/registry/testdata/docker-registry.ts";
import { finished, root } from "../support/home.ts";

describe("scripts/refresh-catalog.ts", { concurrency: false }, () => {
  let directory: string;
  let registry: RealRegistry;
  let file: string;
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const [old, newer] = ["old", "newer"].map((data) => makeImage([[{ path: "a", data }]])) as [TestImage, TestImage];
  const other = makeImage([[{ path: "a", data: "for another machine" }]], { architecture: "s390x" });

  const push = (tag: string, image: TestImage) => {
    const layout = join(directory, image.digest.slice(7, 19));
    writeLayoutFiles(layout, [{ image, name: "x" }]);
    const args = ["copy", "--dest-tls-verify=false", `oci:${layout}:x`, `docker://${registry.host}/${tag}`];
    const copied = spawnSync("skopeo", args, { encoding: "utf8" });
    assert.equal(copied.status, 0, copied.stderr);
  };
  const refresh = async (...args: string[]) => {
    const script = join(root, "scripts/refresh-catalog.ts");
    const env = { ...process.env, BANGER_HOME: join(directory, "home") };
    return await finished(
      spawn(process.execPath, [script, "--file", file, ...args], { env, stdio: ["ignore", "pipe", "pipe"] }),
    );
  };
  const read = () => parsePinnedImages(readFileSync(file, "utf8"), file);
  const add = (name: string, tag: string) =>
    refresh(
      "--add",
      name,
      "--reference",
      `${registry.host}/${tag}`,
      "--description",
      "an app",
      "--signed-off-by",
      "Me",
    );

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-refresh-"));
    file = join(directory, "images.json");
    registry = await startRegistry();
    push("app:1", old);
  });
  after(async () => {
    await registry[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  test("a new entry: digest, platform and size are what the registry has", async () => {
    const ran = await add("my-app", "app:1");
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, new RegExp(`my-app .*: new -> ${old.digest}\n`));
    const today = new Date().toISOString().slice(0, 10);
    assert.deepEqual(read(), [
      {
        name: "my-app",
        description: "an app",
        reference: `${registry.host}/app:1`,
        digest: old.digest,
        platforms: [`linux/${architecture}`],
        downloadBytes: { [`linux/${architecture}`]: old.layers[0]?.length },
        lookedUp: today,
        evidence: [`registry ${registry.host}/app:1`],
        signedOff: { by: "Me", on: today, digest: old.digest },
      },
    ]);
  });

  test("a tag that moved is shown, and written only when it is signed off", async () => {
    const text = readFileSync(file, "utf8");
    const same = await refresh();
    assert.deepEqual([same.code, same.stdout], [0, "nothing changed\n"]);
    push("app:1", newer);
    const shown = await refresh();
    assert.equal(shown.code, 1);
    assert.match(shown.stdout, new RegExp(`${old.digest} -> ${newer.digest}`));
    assert.match(shown.stderr, /--signed-off-by/);
    assert.equal(readFileSync(file, "utf8"), text);
    assert.equal((await refresh("--signed-off-by", "Somebody else")).code, 0);
    const [entry] = read();
    assert.deepEqual([entry?.digest, entry?.signedOff?.by], [newer.digest, "Somebody else"]);
  });

  test("of an index the index is pinned; its platforms that banger runs on are named", async () => {
    push("app:for-here", old);
    push("app:for-there", other);
    const manifests = [
      { image: old, platform: { os: "linux", architecture, variant: "v8" } },
      { image: other, platform: { os: "linux", architecture: "s390x" } },
      { image: old, platform: { os: "unknown", architecture: "unknown" } },
    ].map(({ image, platform }) => ({
      mediaType: mediaTypes.ociManifest,
      digest: image.digest,
      size: image.manifest.length,
      platform,
    }));
    const index = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
    const put = await fetch(`http://${registry.host}/v2/app/manifests/2`, {
      method: "PUT",
      body: index,
      headers: { "content-type": mediaTypes.ociIndex },
    });
    assert.equal(put.status, 201, await put.text());
    const ran = await add("an-index", "app:2");
    assert.equal(ran.code, 0, ran.stderr);
    const [entry] = read();
    assert.deepEqual([entry?.name, entry?.platforms], ["an-index", [`linux/${architecture}`]]);
    assert.equal(entry?.digest, digestOf(Buffer.from(index)));
  });

  test("what cannot be looked up stays as it is, and is told; the rest is written", async () => {
    const ran = await add("not-there", "app:9");
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /not looked up: not-there /);
    assert.deepEqual(
      read().map(({ name }) => name),
      ["an-index", "my-app"],
    );
  });
});
