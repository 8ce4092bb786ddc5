// Which words of a command line are ours and which are the guest's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readCommandLine } from "./main.ts";

async function read(line: string) {
  const { words, rest } = await readCommandLine(line.split(" "));
  return [words.join(" "), rest?.join(" ")];
}

test("vm run: all behind -- is the guest's", async () => {
  assert.deepEqual(await read("vm run --rm ./repo -- make -j --json"), ["vm run --rm ./repo", "make -j --json"]);
  assert.deepEqual(await read("vm run --rm --"), ["vm run --rm", ""]);
  assert.deepEqual(await read("vm run -e A=1 ."), ["vm run -e A=1 .", undefined]);
});

test("vm exec: options before and behind the VM, the command from -- or its first word", async () => {
  assert.deepEqual(await read("vm exec -it box -- ls -la"), ["vm exec -it box", "ls -la"]);
  assert.deepEqual(await read("vm exec box ls -la -- x"), ["vm exec box", "ls -la -- x"]);
  assert.deepEqual(await read("vm exec box --user root -e A=1 -- id"), ["vm exec box --user root -e A=1", "id"]);
  assert.deepEqual(await read("vm exec --workdir=/tmp box pwd"), ["vm exec --workdir=/tmp box", "pwd"]);
});

test("vm ssh: everything behind the VM is for ssh", async () => {
  assert.deepEqual(await read("vm ssh box -L 1:h:2 -N"), ["vm ssh box", "-L 1:h:2 -N"]);
  assert.deepEqual(await read("vm ssh --user dev box -- id -u"), ["vm ssh --user dev box", "-- id -u"]);
});

test("options of every command may stand before it; aliases become names", async () => {
  assert.deepEqual(await read("--json -q vm ls -a"), ["vm list --json -q -a", undefined]);
  assert.deepEqual(await read("vm rm a b"), ["vm delete a b", undefined]);
  assert.deepEqual(await read("vm show -- -odd"), ["vm show -- -odd", undefined]);
});
