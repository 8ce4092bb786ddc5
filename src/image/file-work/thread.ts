// The daemon's side of the thread for work on whole files.
import { Worker } from "node:worker_threads";
import { fromErrorBody, toErrorBody } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { SharedProgress } from "../../lib/shared-progress.ts";
import { workerFile } from "../../lib/worker-file.ts";
import type { FileJob, FromFileWorker, ResultOf, ThreadJob, ToFileWorker } from "./jobs.ts";

const maxHeapMib = 1024;

/**
 * Does the job in a thread of its own, which has ended when this returns: when the signal aborts, only after it has removed what it
 * made. `onDamaged` is told of each layer that was read and is not what it should be.
 */
export async function inThread<Job extends FileJob>(
  job: Job,
  progress: Progress,
  onDamaged: (digest: string) => void = () => {},
): Promise<ResultOf<Job>> {
  const { signal } = progress;
  signal.throwIfAborted();
  using shared = new SharedProgress((bytesDone, total) => progress.bytes(bytesDone, total));
  const worker = new Worker(workerFile(import.meta.url, "image-file-worker.mjs"), {
    workerData: { ...job, bytes: shared.memory } satisfies ThreadJob,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMib, maxYoungGenerationSizeMb: 16 },
  });
  const done = Promise.withResolvers<ResultOf<Job>>();
  worker.on("message", (message: FromFileWorker) => {
    switch (message.say) {
      case "stage":
        shared.look();
        progress.stage(message.name, message.detail);
        return;
      case "damaged":
        onDamaged(message.digest);
        return;
      case "done":
        done.resolve(message.result as ResultOf<Job>);
        return;
      default:
        done.reject(fromErrorBody(message.error));
    }
  });
  worker.on("error", (error) => done.reject(error));
  worker.on("exit", () => done.reject(new Error(`the thread that had to ${job.do} ended`)));
  const stop = () => worker.postMessage({ say: "abort", error: toErrorBody(signal.reason) } satisfies ToFileWorker, []);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await done.promise;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    await worker.terminate();
  }
}
