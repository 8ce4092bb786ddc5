// Room on the disk is looked at before work is done for nothing.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { quietProgress } from "../../lib/progress.ts";
import { rootfsFromLayers } from "../rootfs.ts";

test("an image whose layers alone are larger than the disk is refused before one is opened", async () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-space-"));
  try {
    let opened = 0;
    const layer = (sizeBytes: number) => ({
      diffId: undefined,
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      label: "large",
      sizeBytes,
      open: () => Promise.reject(new Error(`opened ${++opened}`)),
    });
    const layers = [layer(2 ** 49), layer(2 ** 49)];
    const building = rootfsFromLayers(layers, join(directory, "x"), quietProgress(new AbortController().signal));
    await assert.rejects(building, { code: "disk.full", message: /the image needs 1073741824 MiB more/ });
    assert.equal(opened, 0);
    assert.deepEqual(readdirSync(directory), []);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
