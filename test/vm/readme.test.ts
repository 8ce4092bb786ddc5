// The README's samples, run as they stand there, one after the other as a reader would.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { finished, Home, root } from "../support/home.ts";
import { firstMissing, readSamples, stable } from "../support/samples.ts";

/** Between the outputs of two commands; no program prints it. */
const separator = "\x1e";

test("a wrong sample is noticed", () => {
  const actual = ["spec: 4 vcpu | 512 MiB | 8G disk", "sly-owl: boot", "sly-owl: ready in 12.1 s", "7"];
  assert.equal(
    firstMissing(["spec: 2 vcpu | 3013 MiB | 8G disk", "happy-eagle: ready in 840 ms", "7"], actual),
    undefined,
  );
  assert.equal(firstMissing(["7", "sly-owl: ready in 1.0 s"], actual), "sly-owl: ready in 1.0 s", "in this order");
  assert.equal(firstMissing(["8"], actual), "8", "an exit code is no volatile number");
  assert.equal(firstMissing(["sly-owl: started in 1.0 s"], actual), "sly-owl: started in 1.0 s");
  assert.equal(stable("Linux box 6.1.0-56-cloud-amd64 #1"), "Linux box N-cloud-amd64 #1");
  assert.equal(
    stable("7d7145493d5a  box   running  debian-bookworm  2     3013 MiB  8.4 MiB  4 s ago"),
    "ID box running debian-bookworm N SIZE SIZE AGE",
  );
});

test("the README's samples", async () => {
  const blocks = readSamples(readFileSync(join(root, "README.md"), "utf8"));
  assert.ok(blocks.length >= 5, `${blocks.length} blocks are marked as samples`);
  await using home = new Home({ seeded: true });
  for (const block of blocks) {
    const script = block.map(({ command }) => `${command}\nprintf '${separator}'`).join("\n");
    const shell = spawn("bash", ["-c", `exec 2>&1\n${script}`], {
      cwd: root,
      env: home.environment({ PATH: `${join(root, "bin")}:${process.env["PATH"]}` }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    const outputs = (await finished(shell)).stdout.split(separator);
    for (const [at, { command, expected }] of block.entries()) {
      const output = outputs[at] ?? "";
      const missing = firstMissing(expected, output.split("\n"));
      assert.equal(missing, undefined, `$ ${command}\nprinted:\n${output}\nwhere the README says: ${missing}`);
      if (expected.length === 0) assert.equal(output, "", `$ ${command}\nprints something that the README leaves out`);
    }
  }
});
