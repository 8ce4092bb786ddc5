// Lines of layers: what they say, and that they stay within the terminal.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation, ProgressPart } from "../../api/records.ts";
import { fakeOperation } from "../testing/run-fake.ts";
import { layerLines } from "./layer-lines.ts";
import { ProgressView } from "./progress.ts";
import { Terminal } from "./terminal.ts";

const mib = 1024 ** 2;
const part = (digit: string, state: ProgressPart["state"], doneMib: number, totalMib: number): ProgressPart => ({
  name: `sha256:${digit.repeat(64)}`,
  state,
  doneBytes: doneMib * mib,
  totalBytes: totalMib * mib,
});
const options = { columns: 79, rows: 20, unicode: false, style: (_style: string, text: string) => text };
const four = [
  part("a", "cached", 3, 3),
  part("b", "running", 6, 24),
  part("c", "done", 1, 1),
  part("d", "waiting", 0, 9),
];

test("a line for each layer: digest, bar, bytes", () => {
  assert.deepEqual(layerLines(four, options), [
    "  aaaaaaaaaaaa  cached                    3.0 MiB",
    "  bbbbbbbbbbbb  ======------------------  6.0 MiB / 24.0 MiB",
    "  cccccccccccc  done                      1.0 MiB",
    "  dddddddddddd  waiting                   9.0 MiB",
  ]);
  assert.match(layerLines(four, { ...options, unicode: true })[1] ?? "", /━{6}─{18}/);
  assert.equal(layerLines(four, { ...options, columns: 44 })[1], "  bbbbbbbbbbbb  6.0 MiB / 24.0 MiB");
});

test("what arrives is shown first when the terminal is low, and the rest is counted", () => {
  assert.deepEqual(layerLines(four, { ...options, rows: 3 }), [
    "  bbbbbbbbbbbb  ======------------------  6.0 MiB / 24.0 MiB",
    "  dddddddddddd  waiting                   9.0 MiB",
    "  and 2 more: 1 done, 1 cached",
  ]);
  assert.deepEqual(layerLines(four, { ...options, rows: 1 }), []);
  const many = Array.from({ length: 512 }, () => part("e", "waiting", 0, 1));
  for (const columns of [20, 40, 60, 79]) {
    const lines = layerLines(many, { ...options, rows: 8, columns });
    assert.equal(lines.length, 8);
    for (const line of [...lines, ...layerLines(four, { ...options, columns })])
      assert.ok(line.length <= columns, line);
  }
});

const downloading = (parts: ProgressPart[], doneMib: number, totalMib: number): Operation => ({
  ...fakeOperation("op-1", "image.pull", "alpine:3.20"),
  stage: "download",
  detail: "1 of 4 layers",
  progress: { doneBytes: doneMib * mib, totalBytes: totalMib * mib, parts },
});

test("on a terminal the lines are drawn in one piece, and erased before anything else is written", () => {
  const written: string[] = [];
  const stream = {
    isTTY: true,
    columns: 80,
    rows: 6,
    write: (data: string | Uint8Array) => written.push(String(data)),
  };
  const terminal = new Terminal(stream, stream, { NO_COLOR: "1" });
  {
    using view = new ProgressView(terminal);
    view.update(downloading(four.slice(0, 2), 9, 27));
    assert.match(
      written[0] ?? "",
      /^\r\x1b\[Kdownload 1 of 4 layers 9.0 MiB \/ 27.0 MiB \(33%\) {2}\d+ ms\n {2}a+ .*\n {2}b+ [^\n]*$/,
    );
    view.update(downloading(four, 10, 37));
    assert.ok(written[1]?.startsWith("\r\x1b[2A\x1b[Jdownload"), written[1]);
    const tall = Array.from({ length: 9 }, () => part("e", "running", 0, 1));
    view.update(downloading(tall, 0, 9));
    assert.equal(written[2]?.split("\n").length, 5, "one line of the terminal is left free");
    terminal.print("box");
    assert.deepEqual(written.slice(3, 5), ["\r\x1b[4A\x1b[J", "box\n"]);
  }
  assert.equal(written.at(-1), "\r\x1b[4A\x1b[J");
});

test("a terminal that can do nothing gets plain lines", () => {
  let written = "";
  const stream = { isTTY: true, write: (data: string | Uint8Array) => (written += String(data)) };
  using view = new ProgressView(new Terminal(stream, stream, { TERM: "dumb" }));
  view.update(downloading(four, 9, 27));
  assert.equal(written, "alpine:3.20: download 4 layers, 27.0 MiB\n");
});

test("without a terminal: one line, and one for each quarter of a long download", () => {
  let written = "";
  const stream = { write: (data: string | Uint8Array) => (written += String(data)) };
  using view = new ProgressView(new Terminal(stream, stream, {}));
  for (const doneMib of [0, 1, 20, 24, 60, 79, 80]) view.update(downloading(four, doneMib, 80));
  assert.deepEqual(written.split("\n"), [
    "alpine:3.20: download 4 layers, 80.0 MiB",
    "alpine:3.20: download 25% of 80.0 MiB",
    "alpine:3.20: download 75% of 80.0 MiB",
    "",
  ]);
});
