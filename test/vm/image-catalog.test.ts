// A VM of an image that is only named by the catalog: pulled by its digest, and run.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ImageRecord } from "../../src/api/records.ts";
import { makeImage, writeLayoutFiles } from "../../src/image/oci/testdata/layout.ts";
import { type RealRegistry, startRegistry } from "../../src/registry/testdata/docker-registry.ts";
import { Home, root, smallVm } from "../support/home.ts";

const program = `package main

import "fmt"

func main() { fmt.Println("of the catalog") }
`;

describe("vm run with an image of the catalog", { concurrency: false }, () => {
  let directory: string;
  let registry: RealRegistry;
  let home: Home;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-catalog-vm-"));
    registry = await startRegistry();
    home = new Home({ seeded: true });
    writeFileSync(join(directory, "app.go"), program);
    const env = { ...process.env, CGO_ENABLED: "0", GOFLAGS: "" };
    execFileSync(join(root, ".cache/bin/go"), ["build", "-o", "app", "app.go"], { cwd: directory, env, stdio: "pipe" });
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  test("is pulled when it is missing; after that the name is the local image, whatever the list says", async () => {
    const app = { path: "app", data: readFileSync(join(directory, "app")), mode: 0o755 };
    const image = makeImage([[app]], { config: { Entrypoint: ["/app"] } });
    writeLayoutFiles(join(directory, "layout"), [{ image, name: "1" }]);
    const reference = `${registry.host}/app:1`;
    const args = ["copy", "--dest-tls-verify=false", `oci:${join(directory, "layout")}:1`, `docker://${reference}`];
    const copied = spawnSync("skopeo", args, { encoding: "utf8" });
    assert.equal(copied.status, 0, copied.stderr);
    const list = join(directory, "images.json");
    const write = (digest: string) =>
      writeFileSync(
        list,
        JSON.stringify({ version: 1, images: [{ name: "app-1.0", description: "an app", reference, digest }] }),
      );
    write(image.digest);
    writeFileSync(join(home.path, "config.toml"), `image_catalog = "${list}"\n`);
    const run = () => home.ok(["vm", "run", "--rm", ...smallVm, "--image", "app-1.0"]);
    assert.equal((await run()).stdout, "of the catalog\n");
    const { name, digests } = await home.json<ImageRecord>(["image", "show", "app-1.0"]);
    assert.deepEqual([name, digests?.reference], ["app-1.0", image.digest]);
    write(`sha256:${"1".repeat(64)}`);
    await home.ok(["daemon", "stop"]);
    assert.equal((await run()).stdout, "of the catalog\n");
  });
});
