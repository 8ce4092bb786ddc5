// The commands of "image": what reaches the daemon, and what is printed of its answers.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ImageRecord } from "../../../api/records.ts";
import { runFake } from "../../testing/run-fake.ts";

const record: ImageRecord = {
  id: "1".repeat(64),
  name: "alpine:3.20",
  tags: ["mine"],
  source: "registry:alpine:3.20",
  rootfsPath: "/x",
  rootfsSha256: "",
  sizeBytes: 1,
  usedBytes: 1,
  architecture: "amd64",
  digests: null,
  config: {
    environment: [],
    user: "root",
    workdir: "/",
    entrypoint: [],
    command: [],
    exposedPorts: [],
    volumes: [],
    stopSignal: "",
    labels: {},
  },
  createdAt: 0,
};
const cache = "/home/x/cache/blobs";
const blobs = [
  { digest: "sha256:aa", sizeBytes: 1024 ** 3, complete: true, inUse: false },
  { digest: "sha256:bb", sizeBytes: 10, complete: false, inUse: false },
];
const replies = {
  "image.pull": () => record,
  "image.import": () => record,
  "image.register": () => record,
  "image.promote": () => record,
  "image.tag": () => record,
  "image.untag": () => record,
  "image.inspect": () => ({ manifest: '{"schemaVersion":2}', config: '{"os":"linux"}' }),
  "image.history": () => ({
    history: [{ created: "2024-01-02T03:04:05Z", createdBy: "RUN x", comment: "", emptyLayer: false }],
  }),
  "image.export": () => ({ path: "/work dir/out", manifest: "sha256:m", bytes: 5, original: true }),
  "image.cache.list": () => ({ directory: cache, blobs }),
  "image.cache.prune": () => ({ directory: cache, blobs: 47, bytes: 1.2 * 1024 ** 3 }),
  "image.cache.verify": () => ({ blobs: 3, bytes: 10, bad: ["sha256:cc"] }),
};
const run = (...words: string[]) => runFake(["image", ...words], { replies });
const json = (...words: string[]) => runFake(["--json", "image", ...words], { replies });
const paramsOf = async (...words: string[]) => (await run(...words)).calls[0]?.params;

test("pull: what was said is sent, and nothing else", async () => {
  const ran = await run("pull", "alpine:3.20", "--platform", "linux/arm64", "--insecure", "--force");
  assert.deepEqual([ran.code, ran.stdout], [0, "alpine:3.20\n"]);
  assert.deepEqual(ran.calls[0]?.params, { name: "alpine:3.20", platform: "linux/arm64", insecure: true, force: true });
  assert.deepEqual(await paramsOf("pull", "alpine:3.20"), { name: "alpine:3.20" });
});

test("import: a path, an engine, standard input", async () => {
  assert.deepEqual(await paramsOf("import", "layout", "--name", "x"), { path: "/work dir/layout", name: "x" });
  assert.deepEqual(await paramsOf("import", "a.tar", "--reference", "b:1"), {
    path: "/work dir/a.tar",
    reference: "b:1",
  });
  assert.deepEqual(await paramsOf("import", "--from", "podman", "app:1"), { engine: "podman", reference: "app:1" });
  assert.equal((await run("import", "--from", "other", "app:1")).code, 2);
  assert.equal((await run("import", "--from", "docker", "-")).code, 2);
  const home = mkdtempSync(join(tmpdir(), "banger-spool-"));
  let seen = "";
  try {
    const answer = (params: Record<string, unknown>) => {
      seen = readFileSync(String(params["path"]), "utf8");
      assert.equal(params["shown"], "stdin");
      return record;
    };
    const options = { replies: { "image.import": answer }, env: { BANGER_HOME: home }, stdin: "an archive" };
    const ran = await runFake(["image", "import", "-", "--name", "x"], options);
    assert.deepEqual([ran.code, seen], [0, "an archive"], ran.stderr);
    assert.deepEqual(readdirSync(join(home, "cache")), [], "nothing is left, not even while it is read");
    const empty = await runFake(["image", "import", "-"], { ...options, stdin: "" });
    assert.match(empty.stderr, /standard input is empty/);
    assert.equal((await runFake(["image", "import", "-"], { ...options, terminal: true })).code, 2);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("tag and --delete, export, register, promote", async () => {
  assert.deepEqual(await paramsOf("tag", "a", "b"), { image: "a", name: "b" });
  const untag = await run("tag", "--delete", "b");
  assert.deepEqual([untag.calls[0]?.name, untag.calls[0]?.params], ["image.untag", { name: "b" }]);
  assert.equal(untag.stdout, "alpine:3.20\nmine\n");
  for (const words of [["a"], ["--delete", "a", "b"]]) assert.equal((await run("tag", ...words)).code, 2);
  assert.deepEqual(await paramsOf("export", "a", "out"), { image: "a", path: "/work dir/out" });
  assert.deepEqual(await paramsOf("export", "a", "out", "--tar"), { image: "a", path: "/work dir/out", format: "tar" });
  assert.deepEqual(await paramsOf("register", "My.ext4"), { path: "/work dir/My.ext4", name: "my" });
  assert.deepEqual(await paramsOf("promote", "a"), { image: "a" });
});

test("list: a line for each name, ids once", async () => {
  const images = () => ({ images: [record] });
  const listed = await runFake(["image", "list"], { replies: { "image.list": images } });
  assert.deepEqual(
    listed.stdout.split("\n").map((line) => line.split(/ +/).slice(0, 2)),
    [["ID", "NAME"], ["111111111111", "alpine:3.20"], ["111111111111", "mine"], [""]],
  );
  const quiet = await runFake(["image", "list", "--quiet"], { replies: { "image.list": images } });
  assert.equal(quiet.stdout, `${record.id}\n`);
});

test("pull: what it found, and what was not checked, is told", async () => {
  const pull = async (pulled: object, ...words: string[]) => {
    const reply = { replies: { "image.pull": () => ({ ...record, pulled }) } };
    return (await runFake(["image", "pull", "alpine:3.20", ...words], reply)).stderr;
  };
  assert.equal(await pull({ outcome: "made", insecure: true }, "--insecure"), "alpine:3.20: boot waiting\n");
  assert.match(
    await pull({ outcome: "made", insecure: true }),
    /pulled without a check of who answers, as with --insecure/,
  );
  assert.match(await pull({ outcome: "rebuilt", insecure: false }, "--force"), /its disk was made again/);
  assert.match(await pull({ outcome: "present", insecure: false }), /it was there already/);
});

test("inspect and history", async () => {
  assert.deepEqual(JSON.parse((await run("inspect", "a")).stdout), {
    manifest: { schemaVersion: 2 },
    config: { os: "linux" },
  });
  assert.match((await run("history", "a")).stdout, /2024-01-02 03:04:05 +yes +RUN x/);
});

test("cache: one line for prune, as for size; verify names what it removed and fails", async () => {
  assert.equal((await run("cache", "prune")).stdout, `freed 1.2 GiB across 47 blob(s) in ${cache}\n`);
  const dry = await run("cache", "prune", "--dry-run");
  assert.deepEqual(
    [dry.stdout, dry.calls[0]?.params],
    [`would free 1.2 GiB across 47 blob(s) in ${cache}\n`, { dryRun: true }],
  );
  assert.equal((await run("cache", "size")).stdout, `1.0 GiB in 2 blob(s) in ${cache}\n`);
  assert.match((await run("cache", "list")).stdout, /sha256:bb +10 B +partial/);
  const verify = await run("cache", "verify");
  assert.equal(verify.code, 1);
  assert.match(verify.stdout, /removed sha256:cc: it was damaged\n2 of 3 blob/);
  for (const command of ["list", "size", "prune", "verify"]) JSON.parse((await json("cache", command)).stdout);
});
