// Pulls that do not come to their end: Ctrl-C of the client, and a disk that is full. The error says so, nothing is left behind,
// and the next pull goes on from what had arrived.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ImageRecord, Operation } from "../../src/api/records.ts";
import { makeImage, type TestImage, writeLayoutFiles } from "../../src/image/oci/testdata/layout.ts";
import { assertSound } from "../../src/image/testdata/ext4.ts";
import { type RealRegistry, startRegistry } from "../../src/registry/testdata/docker-registry.ts";
import { finished, Home } from "../support/home.ts";
import { RegistryTap } from "../support/registry-tap.ts";
import { SmallDiskHome } from "../support/small-disk-home.ts";
import { stageSeen } from "../support/stages.ts";
import { until } from "../support/until.ts";

const mib = 1024 ** 2;

describe("pulls that do not come to their end", { concurrency: false }, () => {
  let directory: string;
  let registry: RealRegistry;
  let tap: RegistryTap;
  let image: TestImage;
  let totalBytes: number;
  const name = () => `${tap.host}/app:1`;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-broken-"));
    registry = await startRegistry();
    tap = await RegistryTap.start(registry.host);
    image = makeImage([5, 4, 3].map((size, index) => [{ path: `file-${index}`, data: randomBytes(size * mib) }]));
    totalBytes = image.layers.reduce((sum, layer) => sum + layer.length, 0);
    writeLayoutFiles(join(directory, "app"), [{ image, name: "1" }]);
    const to = `docker://${registry.host}/app:1`;
    const copied = spawnSync("skopeo", ["copy", "--dest-tls-verify=false", `oci:${directory}/app:1`, to], {
      encoding: "utf8",
    });
    assert.equal(copied.status, 0, copied.stderr);
  });
  after(async () => {
    await tap[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  const daemonPid = async (home: Home) => (await home.json<{ pid: number }>(["daemon", "status"])).pid;
  /** Files of images and blobs that a daemon has open. */
  const openFiles = (home: Home, pid: number) =>
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        const path = readlinkSync(`/proc/${pid}/fd/${fd}`);
        return /\/(?:blobs|images|staging-[^/]*)\//.test(path) && path.startsWith(home.path) ? [path] : [];
      } catch {
        return [];
      }
    });
  const partial = (home: Home) => readdirSync(join(home.files, "cache/blobs/partial"));
  /** Nothing of a pull is under way or left but blobs for the next one. */
  const isOver = async (home: Home, pid: number) => {
    assert.equal(await daemonPid(home), pid, "the daemon ended");
    const operations = await home.json<Operation[]>(["operation", "list"]);
    assert.deepEqual(
      operations.filter((operation) => !operation.done),
      [],
    );
    assert.deepEqual(await home.json(["image", "list"]), []);
    assert.deepEqual(readdirSync(join(home.files, "state/images")), []);
    const unfinished = readdirSync(home.files, { recursive: true, encoding: "utf8" }).filter((path) =>
      /staging-|\.tmp$|\.new$|\.pruned-|\.new-/.test(path),
    );
    assert.deepEqual(unfinished, []);
    await until("the daemon to close its files", () => (openFiles(home, pid).length === 0 ? true : undefined), 10_000);
    const blobs = await home.json<{ inUse: boolean }[]>(["image", "cache", "list"]);
    assert.ok(blobs.every((blob) => !blob.inUse));
  };
  const succeeds = async (home: Home) => {
    const record = await home.json<ImageRecord>(["image", "pull", name()]);
    assert.equal(record.digests?.manifest, image.digest);
    assertSound(record.rootfsPath.replace(home.path, home.files));
    const { bad } = await home.json<{ bad: string[] }>(["image", "cache", "verify"]);
    assert.deepEqual([bad, partial(home)], [[], []]);
    await home.ok(["image", "delete", name()]);
    await home.ok(["image", "cache", "prune"]);
  };

  test("Ctrl-C, early and late: exit code 130, and what has arrived is used", async () => {
    await using home = new Home({ seeded: false });
    await home.ok(["image", "list"]);
    const pid = await daemonPid(home);
    for (const share of [0, 0.3, 0.6, 0.95]) {
      tap.forget();
      tap.bytesPerSecond = 8 * mib;
      const client = home.start(["image", "pull", name()]);
      const ended = finished(client);
      await stageSeen(client, "download");
      await tap.passed(totalBytes * share, AbortSignal.timeout(60_000));
      client.kill("SIGINT");
      const ran = await ended;
      assert.deepEqual([ran.code, ran.stdout], [130, ""], ran.stderr);
      assert.match(ran.stderr, /interrupted/);
      await isOver(home, pid);
      const before = tap.passedBytes;
      tap.forget();
      tap.bytesPerSecond = Number.POSITIVE_INFINITY;
      await succeeds(home);
      // What was on its way when the client went is fetched again.
      assert.ok(tap.passedBytes + before < totalBytes + 4 * mib, `${before} and then ${tap.passedBytes} bytes`);
    }
  });

  test("Ctrl-C in one of two clients: the other one gets the image", async () => {
    await using home = new Home({ seeded: false });
    tap.forget();
    tap.bytesPerSecond = 8 * mib;
    const clients = [1, 2].map(() => home.start(["image", "pull", name()]));
    const ended = clients.map(finished);
    await Promise.all(clients.map((client) => stageSeen(client, "download")));
    clients[0]?.kill("SIGINT");
    assert.equal((await ended[0])?.code, 130);
    const other = await ended[1];
    assert.equal(other?.code, 0, other?.stderr);
    assert.equal(tap.blobs.length, image.layers.length + 1, "config and layers once");
    assert.equal((await home.json<unknown[]>(["image", "list"])).length, 1);
  });

  for (const [what, sizeMib, message] of [
    ["the layers", 9, /has \d MiB free: the image needs 13 MiB more, and 4 MiB are to stay free/],
    ["the image beside its layers", 19, /no space left on the disk/],
  ] as const) {
    test(`a disk without room for ${what}: disk.full, and it works after room was made`, async () => {
      await using home = await SmallDiskHome.make({ seeded: false, sizeMib: 64 });
      tap.forget();
      tap.bytesPerSecond = Number.POSITIVE_INFINITY;
      await home.ok(["image", "list"]);
      const pid = await daemonPid(home);
      {
        using _filler = await home.fill(sizeMib * mib);
        const ran = await home.run(["image", "pull", name()]);
        assert.deepEqual([ran.code, ran.stdout], [1, ""], ran.stderr);
        assert.match(ran.stderr, message);
        assert.match(ran.stderr, /\(disk\.full\)/);
        await isOver(home, pid);
        await home.ok(["image", "cache", "prune"]);
        assert.ok(home.free() > (sizeMib - 1) * mib, `${home.free()} bytes are free`);
      }
      await succeeds(home);
    });
  }
});
