// "image warm": what reaches the daemon of options and of the words behind --.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeSnapshot, runFake } from "../../testing/run-fake.ts";

const record = fakeSnapshot("db", { warm: true });
const run = (...words: string[]) =>
  runFake(["image", "warm", ...words], { replies: { "image.warm": () => record }, env: { TOKEN: "t" } });

test("image, sizes, environment and command; prints the snapshot and what to do with it", async () => {
  const ran = await run("mine", "--name", "db", "--memory", "2G", "-e", "A=1", "-e", "TOKEN", "--", "start", "--now");
  assert.deepEqual([ran.code, ran.stdout], [0, "db\n"]);
  assert.match(ran.stderr, /^next: banger vm run --warm-from db$/m);
  assert.deepEqual(ran.calls[0]?.params, {
    image: "mine",
    name: "db",
    memoryMib: 2048,
    environment: ["A=1", "TOKEN=t"],
    argv: ["start", "--now"],
  });
});

test("a network for the command, with rules", async () => {
  const ran = await run("mine", "--allow", "deb.example:443", "--allow-host", "5432");
  assert.deepEqual(ran.calls[0]?.params, {
    image: "mine",
    network: { allow: ["deb.example:443"], hostPorts: [5432] },
  });
  assert.match((await run("mine", "--join", "dev")).stderr, /--join/);
});

test("what was not said is not sent; --quiet, --json, usage", async () => {
  const quiet = await run("-q", "mine");
  assert.deepEqual([quiet.stdout, quiet.stderr], ["id-db\n", ""]);
  assert.deepEqual(quiet.calls[0]?.params, { image: "mine" });
  assert.deepEqual(JSON.parse((await run("--json", "mine")).stdout), record);
  const wrong = await run();
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /missing argument <image>[^]*usage: banger image warm \[options\] <image> \[-- <command>/);
});
