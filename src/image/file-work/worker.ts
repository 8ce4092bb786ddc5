// The thread for work on whole files: bytes of images that are only copied, hashed or unpacked do not pass the daemon's own thread.
import { parentPort, workerData } from "node:worker_threads";
import { fromErrorBody, toErrorBody } from "../../lib/errors.ts";
import { paced } from "../../lib/paced.ts";
import type { Progress } from "../../lib/progress.ts";
import { decompressFile, digestOfFile } from "./files.ts";
import type { FileJob, FromFileWorker, ResultOf, ToFileWorker } from "./jobs.ts";
import { writeImage } from "./write-image.ts";

const job = workerData as FileJob;
const say = (message: FromFileWorker) => parentPort?.postMessage(message, []);
const abort = new AbortController();
/** As often as anybody can see. */
const bytes = paced(100, (done: number, total: number | null) => say({ say: "bytes", done, total }));

parentPort?.on("message", ({ error }: ToFileWorker) => abort.abort(fromErrorBody(error)));

const progress: Progress = {
  signal: abort.signal,
  stage: (name, detail) => {
    bytes[Symbol.dispose]();
    say({ say: "stage", name, detail });
  },
  bytes,
};

try {
  say({ say: "done", result: await work() });
} catch (error) {
  say({ say: "failure", error: toErrorBody(error) });
}
bytes[Symbol.dispose]();
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
