// Progress on a terminal and without one.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation } from "../../api/records.ts";
import { ProgressView } from "./progress.ts";
import { Terminal } from "./terminal.ts";

const started: Operation = {
  id: "op-1",
  kind: "vm.create",
  target: "",
  stage: "",
  detail: "",
  progress: null,
  startedAt: 0,
  updatedAt: 0,
  done: false,
  error: null,
  result: null,
};

function watch(states: readonly Partial<Operation>[]): string {
  let written = "";
  const stream = { write: (data: string | Uint8Array) => (written += String(data)) };
  using view = new ProgressView(new Terminal(stream, stream, {}));
  for (const state of states) view.update({ ...started, ...state });
  return written;
}

test("on a terminal the live line is gone while anything else is written", () => {
  let written = "";
  const stream = { isTTY: true, columns: 80, write: (data: string | Uint8Array) => (written += String(data)) };
  const terminal = new Terminal(stream, stream, { NO_COLOR: "1" });
  using view = new ProgressView(terminal);
  view.update({ ...started, stage: "delete" });
  terminal.print("box");
  view.update({ ...started, stage: "delete", done: true });
  assert.match(written, /delete {2}\d+ ms\r\x1b\[Kbox\n\r\x1b\[Kdelete/);
});

test("a terminal that does not know its width (0 columns) has the usual one", () => {
  let written = "";
  const stream = { isTTY: true, columns: 0, write: (data: string | Uint8Array) => (written += String(data)) };
  using view = new ProgressView(new Terminal(stream, stream, { NO_COLOR: "1" }));
  view.update({ ...started, stage: "prepare", detail: "disks and initramfs of a machine" });
  assert.match(written, /prepare disks and initramfs of a machine/);
});

test("without a terminal: one line for each stage, with the name as soon as there is one", () => {
  const lines = watch([
    { stage: "resolve", detail: "debian" },
    { stage: "download", detail: "package lists" },
    { stage: "download", detail: "package lists", progress: { doneBytes: 1, totalBytes: 2 } },
    { target: "calm-owl", stage: "boot", detail: "" },
    { target: "calm-owl", stage: "ready" },
    { target: "calm-owl", stage: "ready", done: true },
    { id: "op-2", target: "calm-owl", stage: "delete", detail: "calm-owl" },
  ]);
  assert.equal(lines, "banger: download package lists\ncalm-owl: boot\ncalm-owl: delete\n");
});
