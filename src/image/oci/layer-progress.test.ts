// Progress of layers: every state is told, and growth not more often than it can be seen.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProgressPart } from "../../lib/progress.ts";
import { LayerProgress } from "./layer-progress.ts";

const layers = ["a", "b", "c"].map((digit) => ({
  digest: `sha256:${digit.repeat(64)}`,
  sizeBytes: 10,
  mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
}));
const handle = (bytes: number, cached: boolean) => ({
  ...{ bytes, cached, done: Promise.resolve() },
  open: () => Promise.reject(new Error("nobody reads")),
  file: () => Promise.reject(new Error("nobody reads")),
  [Symbol.dispose]() {},
});

test("each layer is told of: waiting, cached, running, done", () => {
  const told: string[] = [];
  const report = new LayerProgress(layers, {
    signal: new AbortController().signal,
    stage: (name, detail) => told.push(`${name} ${detail ?? ""}`),
    bytes: (done, total, parts = []) => told.push(`${done}/${total} ${shown(parts)}`),
  });
  const [a, b] = layers as [(typeof layers)[0], (typeof layers)[0]];
  const growing = handle(0, false);
  report.begun(a, handle(10, true));
  report.begun(b, growing);
  report.done(a);
  growing.bytes = 4;
  report.begun(b, growing);
  for (let count = 0; count < 1000; count++) report.grown();
  growing.bytes = 10;
  report.done(b);
  const growth = told.splice(7, told.length - 9);
  assert.ok(growth.length < 100, `${growth.length} reports of 1000`);
  assert.deepEqual(told, [
    "download 0 of 3 layers",
    "0/30 waiting 0, waiting 0, waiting 0",
    "10/30 cached 10, waiting 0, waiting 0",
    "10/30 cached 10, running 0, waiting 0",
    "download 1 of 3 layers",
    "10/30 cached 10, running 0, waiting 0",
    "14/30 cached 10, running 4, waiting 0",
    "download 2 of 3 layers",
    "20/30 cached 10, done 10, waiting 0",
  ]);
});

function shown(parts: readonly ProgressPart[]): string {
  return parts.map((part) => `${part.state} ${part.doneBytes}`).join(", ");
}
