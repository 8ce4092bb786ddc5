// The thread for work on whole files: bytes of images that are only copied, hashed or unpacked do not pass the daemon's own thread.
import { parentPort, workerData } from "node:worker_threads";
import { fromErrorBody, toErrorBody } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { tellBytes } from "../../lib/shared-progress.ts";
import { decompressFile, digestOfFile } from "./files.ts";
import type { FileJob, FromFileWorker, ResultOf, ThreadJob, ToFileWorker } from "./jobs.ts";
import { writeImage } from "./write-image.ts";

const { bytes: memory, ...job } = workerData as ThreadJob;
const say = (message: FromFileWorker) => parentPort?.postMessage(message, []);
const abort = new AbortController();

parentPort?.on("message", ({ error }: ToFileWorker) => abort.abort(fromErrorBody(error)));

const progress: Progress = {
  signal: abort.signal,
  stage: (name, detail) => say({ say: "stage", name, detail }),
  bytes: tellBytes(memory),
};

try {
  say({ say: "done", result: await work() });
} catch (error) {
  say({ say: "failure", error: toErrorBody(error) });
}
parentPort?.close();

async function work(): Promise<ResultOf<FileJob>> {
  switch (job.do) {
    case "decompress":
      return await decompressFile(job, progress);
    case "digest":
      return await digestOfFile(job, progress);
    default:
      return await writeImage(job, progress, (digest) => say({ say: "damaged", digest }));
  }
}
