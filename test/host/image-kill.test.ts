// A daemon that is killed at 50 points of pulls leaves nothing half made; the next one goes on from what had arrived, and
// makes the same bytes. Once more with BANGER_KILL_SEED=<number>.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import type { ImageRecord, Operation } from "../../src/api/records.ts";
import { resolvePaths } from "../../src/config/paths.ts";
import { digestOf } from "../../src/image/oci/digest.ts";
import { makeImage, type TestImage, writeLayoutFiles } from "../../src/image/oci/testdata/layout.ts";
import { assertSound } from "../../src/image/testdata/ext4.ts";
import { BangerError } from "../../src/lib/errors.ts";
import { type RealRegistry, startRegistry } from "../../src/registry/testdata/docker-registry.ts";
import { connect, type Client } from "../../src/sdk/client.ts";
import { Home, root } from "../support/home.ts";
import { randomFrom } from "../../src/lib/testdata/fuzz.ts";
import { RegistryTap } from "../support/registry-tap.ts";
import { isRunning } from "../support/processes.ts";
import { until } from "../support/until.ts";

const seed = Number(process.env["BANGER_KILL_SEED"] ?? Date.now() % 1_000_000);
const rounds = 50;
const mib = 1024 ** 2;
/** Bytes per second: a pull then takes longer than what is uncertain about a point in it. */
const speed = 40 * mib;
/** Left by prunes that were killed. */
const aside = ["blobs.pruned-00ff00ff00ff", "blobs.new-00ff00ff00ff"];

/** When the daemon is killed: after so many bytes of layers, so many milliseconds, or when a stage is told. */
type Point = { bytes: number } | { ms: number } | { stage: string };

describe("a daemon that is killed", { concurrency: false }, () => {
  const random = randomFrom(seed);
  let directory: string;
  let registry: RealRegistry;
  let tap: RegistryTap;
  let home: Home;
  let client: Client;
  let image: TestImage;
  /** Digest of the finished file, the same for every pull. */
  let wanted: string;
  const stages = new Set<string>();
  const name = () => `${tap.host}/app:1`;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "banger-kill-"));
    registry = await startRegistry();
    tap = await RegistryTap.start(registry.host);
    home = new Home({ seeded: false });
    client = newClient(true);
    const large = [6, 4, 3, 1].map((size, index) => [{ path: `large-${index}`, data: randomBytes(size * mib) }]);
    const small = Array.from({ length: 2000 }, (_, index) => ({ path: `small-${index}`, data: `content ${index}` }));
    image = makeImage([...large, small]);
    writeLayoutFiles(join(directory, "app"), [{ image, name: "1" }]);
    const copied = spawnSync(
      "skopeo",
      ["copy", "--dest-tls-verify=false", `oci:${directory}/app:1`, `docker://${registry.host}/app:1`],
      { encoding: "utf8" },
    );
    assert.equal(copied.status, 0, copied.stderr);
  });
  after(async () => {
    client[Symbol.dispose]();
    await home[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  /** "Built" before every daemon, so that none is replaced. */
  const newClient = (autoStart: boolean) =>
    connect({
      paths: resolvePaths({ BANGER_HOME: home.path }),
      build: { version: "test", builtAt: 0, commit: "test" },
      autoStart,
      daemonCommand: [join(root, "dist/node"), join(root, "dist/bangerd.mjs")],
      env: home.environment(),
    });
  const pull = (by: Client, onUpdate?: (operation: Operation) => void) =>
    by.operate("image.pull", { name: name() }, onUpdate === undefined ? {} : { onUpdate });
  const images = async () => (await client.call("image.list", {})).images;
  const forget = async (blobs: boolean) => {
    for (const { id } of await images()) await client.call("image.delete", { image: id });
    if (blobs) await client.call("image.cache.prune", {});
    tap.forget();
  };
  const inCache = (folder: string) => {
    try {
      return readdirSync(join(home.path, "cache/blobs", folder));
    } catch {
      return [];
    }
  };
  const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
  const isWhole = ({ id, digests, rootfsPath }: ImageRecord) => {
    assert.equal(digests?.manifest, image.digest);
    assert.equal(sha256(rootfsPath), wanted);
    assert.deepEqual(readdirSync(join(home.path, "state/images", id)).toSorted(), [
      "manifest.json",
      "oci-config.json",
      "oci-manifest.json",
      "rootfs.ext4",
    ]);
  };
  /** Names of files and directories of the home that only something unfinished has. */
  const unfinished = () =>
    readdirSync(home.path, { recursive: true, encoding: "utf8" }).filter((path) =>
      /staging-|\.tmp$|\.new$|\.pruned-|\.new-/.test(path),
    );

  /** Begins some work and kills the daemon at that point, at the latest when it is over. */
  const killDuring = async (
    work: (by: Client, onUpdate: (operation: Operation) => void) => Promise<unknown>,
    point: Point,
  ) => {
    const { pid } = await client.call("daemon.status", {});
    using watcher = newClient(false);
    const over = new AbortController();
    const stage = Promise.withResolvers<void>();
    const ended = work(watcher, (operation) => {
      if ("stage" in point && `${operation.stage} ${operation.detail}` === point.stage) stage.resolve();
    }).catch((error: unknown) => error);
    void ended.then(() => over.abort());
    const reached =
      "bytes" in point ? tap.passed(point.bytes, over.signal) : "ms" in point ? delay(point.ms) : stage.promise;
    await Promise.race([reached, ended]);
    process.kill(pid, "SIGKILL");
    const outcome = await ended;
    if (outcome instanceof Error) {
      assert.ok(outcome instanceof BangerError, String(outcome));
      assert.match(outcome.code, /^(?:operation\.interrupted|daemon\.unreachable)$/, outcome.message);
    }
    await until("the daemon to be gone", () => (isRunning(pid) ? undefined : true), 10_000);
    assert.deepEqual(home.processes(), []);
  };

  /** The next daemon cleans up: what it lists is whole, and there is nothing else. */
  const nextStart = async () => {
    for (const left of aside) {
      mkdirSync(join(home.path, "cache", left, "sha256"), { recursive: true });
      writeFileSync(join(home.path, "cache", left, "sha256", "a".repeat(64)), "left");
    }
    const listed = await images();
    for (const record of listed) isWhole(record);
    assert.deepEqual(
      readdirSync(join(home.path, "state/images")),
      listed.map((record) => record.id),
    );
    assert.deepEqual(unfinished(), []);
    const { blobs } = await client.call("image.cache.list", {});
    assert.ok(blobs.every((blob) => !blob.inUse));
    for (const file of inCache("sha256")) assert.equal(sha256(join(home.path, "cache/blobs/sha256", file)), file);
    const { operations } = await client.call("operation.list", {});
    assert.deepEqual(
      operations.filter((operation) => !operation.done),
      [],
    );
    return listed;
  };

  /** The next pull asks for nothing that is there, and of what is there in part for the rest. */
  const nextPull = async () => {
    const whole = new Set(inCache("sha256"));
    const begun = new Map(
      inCache("partial").map((file) => [
        file.replace("sha256-", ""),
        statSync(join(home.path, "cache/blobs/partial", file)).size,
      ]),
    );
    tap.forget();
    isWhole(await pull(client));
    const expected = image.layers.flatMap((layer) => {
      const hex = digestOf(layer).slice(7);
      const have = begun.get(hex) ?? 0;
      return whole.has(hex) || have === layer.length ? [] : [`${hex} from ${have}`];
    });
    const layers = new Set(image.layers.map((layer) => digestOf(layer)));
    const asked = tap.blobs.filter(({ digest }) => layers.has(digest));
    assert.deepEqual(
      asked.map(({ digest, offset }) => `${digest.slice(7)} from ${offset}`).toSorted(),
      expected.toSorted(),
    );
    return expected.some((request) => !request.endsWith(" from 0")) || expected.length < layers.size;
  };

  test(`${rounds} times during pulls: nothing half made, and the next pull goes on (seed ${seed})`, async () => {
    tap.bytesPerSecond = speed;
    const timed = async () => {
      const began = performance.now();
      const { rootfsPath } = await pull(client, ({ stage, detail, done }) => {
        if (!done && stage !== "") stages.add(`${stage} ${detail}`);
      });
      wanted ??= sha256(rootfsPath);
      return performance.now() - began;
    };
    const coldMs = await timed();
    await forget(false);
    const cachedMs = await timed();
    assert.ok(stages.size >= 4, [...stages].join(", "));
    const totalBytes = image.layers.reduce((sum, layer) => sum + layer.length, 0);
    let resumed = 0;
    let finished = 0;
    for (let round = 0; round < rounds; round++) {
      // One of five begins with all blobs in the cache.
      const cached = round % 5 === 4;
      const point: Point = cached
        ? { ms: random(Math.ceil(cachedMs)) }
        : round % 5 === 3
          ? { stage: [...stages][random(stages.size)] as string }
          : round % 5 === 2
            ? { ms: random(Math.ceil(coldMs)) }
            : { bytes: random(totalBytes) };
      try {
        await forget(!cached);
        await killDuring(pull, point);
        finished += (await nextStart()).length;
        tap.bytesPerSecond = Number.POSITIVE_INFINITY;
        if (await nextPull()) resumed++;
        tap.bytesPerSecond = speed;
      } catch (error) {
        throw new Error(`round ${round} of BANGER_KILL_SEED=${seed}, killed at ${JSON.stringify(point)}`, {
          cause: error,
        });
      }
    }
    // Most points must lie within the pull, or nothing was tried.
    assert.ok(finished < rounds / 2 && resumed > rounds / 2, `${finished} had finished, ${resumed} were gone on with`);
    const { bad, blobs } = await client.operate("image.cache.verify", {});
    assert.deepEqual([bad, blobs], [[], image.layers.length]);
    for (const { rootfsPath } of await images()) assertSound(rootfsPath);
  });

  test(`8 times during imports of a packed archive: nothing is left (seed ${seed})`, async () => {
    const path = join(directory, "app.tar.gz");
    execFileSync("tar", ["-czf", path, "-C", join(directory, "app"), "."]);
    const load = (by: Client) => by.operate("image.import", { path, name: "loaded", force: true });
    await forget(true);
    const began = performance.now();
    const { rootfsPath } = await load(client);
    const wholeMs = performance.now() - began;
    wanted ??= sha256(rootfsPath);
    for (let round = 0; round < 8; round++) {
      await forget(true);
      await killDuring(load, { ms: random(Math.ceil(wholeMs)) });
      await nextStart();
    }
    isWhole(await load(client));
  });

  test(`8 times while images are deleted and blobs pruned: all or nothing of each (seed ${seed})`, async () => {
    const remove = (by: Client) =>
      Promise.all([by.call("image.delete", { image: name() }), by.call("image.cache.prune", {})]);
    tap.bytesPerSecond = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 8; round++) {
      wanted ??= sha256((await pull(client)).rootfsPath);
      isWhole(await pull(client));
      await killDuring(remove, { ms: random(20) });
      await nextStart();
    }
    await nextPull();
  });
});
