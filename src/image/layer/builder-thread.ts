// The daemon's side of the thread that builds an image: starts it, feeds it the layers it asks for, ends it.
import { Worker } from "node:worker_threads";
import { BangerError, fromErrorBody, toErrorBody } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { SharedProgress } from "../../lib/shared-progress.ts";
import { workerFile } from "../../lib/worker-file.ts";
import type { BuildLayer, BuildOptions, Rootfs } from "./build.ts";
import { LayerFeed } from "./feed.ts";
import type { FeedSource } from "./feed.ts";
import type { BuildJob, FromBuilder, ReadByThread, ToBuilder } from "./protocol.ts";

/** Where a layer comes from: what the thread reads by itself, or what is opened for it when it asks. */
export type ThreadLayer = Omit<BuildLayer, "open"> & (ReadByThread | FeedSource);

/** A million entries need about half of it; what needs more is made to need more. */
const maxHeapMib = 1536;
const patienceMs = 5000;

/** `buildRootfs` in a thread of its own, which has ended when this returns. */
export async function buildInThread(
  options: Omit<BuildOptions, "layers"> & { layers: readonly ThreadLayer[] },
  progress: Progress,
): Promise<Rootfs> {
  const { signal } = progress;
  signal.throwIfAborted();
  const { layers } = options;
  using shared = new SharedProgress((done, total) => progress.bytes(done, total));
  const job: BuildJob = {
    ...options,
    bytes: shared.memory,
    layers: layers.map((layer) => {
      const { label, diffId } = layer;
      return "open" in layer ? { label, diffId } : { label, diffId, path: layer.path, directory: layer.directory };
    }),
  };
  const worker = new Worker(workerFile(import.meta.url, "image-worker.mjs"), {
    workerData: job,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMib, maxYoungGenerationSizeMb: 48 },
  });
  const say = (message: ToBuilder, transfer: ArrayBuffer[] = []) => worker.postMessage(message, transfer);
  const done = Promise.withResolvers<Rootfs>();
  const feeds = layers.map((layer, index) =>
    "open" in layer ? new LayerFeed(index, layer, progress, say) : undefined,
  );
  worker.on("message", (message: FromBuilder) => {
    switch (message.say) {
      case "open":
      case "more":
      case "damaged":
      case "close":
        feeds[message.layer]?.[message.say]();
        return;
      case "stage":
        shared.look();
        progress.stage(message.name, message.detail);
        return;
      case "done":
        done.resolve(message.rootfs);
        return;
      default:
        done.reject(fromErrorBody(message.error));
    }
  });
  worker.on("error", (error) => done.reject(explainCrash(error)));
  worker.on("exit", () => done.reject(new Error("the thread that builds the image ended")));
  let giveUp: NodeJS.Timeout | undefined;
  const stop = () => {
    say({ say: "abort", error: toErrorBody(signal.reason) });
    // It looks up between chunks; when it does not, it is ended.
    giveUp = setTimeout(() => done.reject(signal.reason as Error), patienceMs);
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await done.promise;
  } catch (error) {
    signal.throwIfAborted();
    // What a source threw, and not what was left of it after two threads.
    throw feeds.find((feed) => feed?.failure !== undefined)?.failure ?? error;
  } finally {
    clearTimeout(giveUp);
    signal.removeEventListener("abort", stop);
    await worker.terminate();
    for (const feed of feeds) feed?.close();
  }
}

function explainCrash(error: unknown): unknown {
  if ((error as NodeJS.ErrnoException).code !== "ERR_WORKER_OUT_OF_MEMORY") return error;
  return new BangerError("image.invalid", `the image needs more than ${maxHeapMib} MiB of memory to be built`, {
    cause: error,
  });
}
