// The thread that builds one image: everything that takes time, so that the daemon's event loop has none of it.
import { Readable } from "node:stream";
import { parentPort, workerData } from "node:worker_threads";
import { fromErrorBody, toErrorBody } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { tellBytes } from "../../lib/shared-progress.ts";
import { openArchive } from "../tar/decompress.ts";
import { packedDirectory } from "../tar/pack-directory.ts";
import { buildRootfs } from "./build.ts";
import { LayerInbox } from "./inbox.ts";
import type { BuildJob, FromBuilder, ToBuilder } from "./protocol.ts";

const job = workerData as BuildJob;
const say = (message: FromBuilder) => parentPort?.postMessage(message, []);
const abort = new AbortController();
const bytes = tellBytes(job.bytes);
const inboxes = job.layers.map(({ label }, layer) => new LayerInbox(layer, label, say, bytes));

parentPort?.on("message", (message: ToBuilder) => {
  if (message.say !== "abort") {
    inboxes[message.layer]?.receive(message);
    return;
  }
  abort.abort(fromErrorBody(message.error));
  // Whoever waits for bytes that do not come looks up.
  for (const inbox of inboxes) inbox.receive({ say: "failed", layer: 0, error: message.error });
});

const progress: Progress = {
  signal: abort.signal,
  stage: (name, detail) => say({ say: "stage", name, detail }),
  bytes,
};
const layers = job.layers.map(({ label, diffId, path, directory }, index) => ({
  label,
  diffId,
  open: async () => {
    if (path !== undefined) return await openArchive(path, progress);
    if (directory !== undefined) return packedDirectory(directory, progress);
    return Readable.from(inboxes[index]?.chunks() ?? [], { highWaterMark: 2 });
  },
}));

try {
  say({ say: "done", rootfs: await buildRootfs({ ...job, layers }, progress) });
} catch (error) {
  say({ say: "failure", error: toErrorBody(error) });
}
parentPort?.close();
