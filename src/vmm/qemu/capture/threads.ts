// The daemon's side of the threads that copy guest memory: starts them, has them all do one thing at a time, ends them.
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { orAborted } from "../../../lib/abort.ts";
import type { Copier } from "./copier.ts";
import type { CopyTarget } from "./page-copy.ts";
import type { MemorySource } from "./page-map.ts";
import type { FromWorker, ToWorker } from "./worker.ts";

/** The processors of a paused machine are idle; more threads than this gain nothing, memory is the limit. */
const maxThreads = 4;

/** Beside this file from source; the bundler makes it a file of its own in dist/, and may put this code one directory deeper. */
function workerFile(): URL {
  const places = ["worker.ts", "capture-worker.mjs", "../capture-worker.mjs"].map(
    (place) => new URL(place, import.meta.url),
  );
  const found = places.find((place) => existsSync(fileURLToPath(place)));
  if (found === undefined) throw new Error(`no capture worker beside ${import.meta.url}`);
  return found;
}

/** Live until they are disposed. */
export class CaptureThreads implements Copier {
  readonly isQuick = false;
  readonly #threads: Thread[];

  constructor() {
    const file = workerFile();
    this.#threads = Array.from(
      { length: Math.min(maxThreads, availableParallelism()) },
      () => new Thread(new Worker(file, { execArgv: [], env: {} })),
    );
  }

  async open(source: MemorySource, target: CopyTarget, signal: AbortSignal): Promise<void> {
    const of = this.#threads.length;
    await this.#all((index) => ({ call: "open", source, share: { index, of }, target }), signal);
  }

  async copy(signal: AbortSignal): Promise<number> {
    const written = await this.#all(() => ({ call: "copy" }), signal);
    return written.reduce((sum, bytes) => sum + bytes, 0);
  }

  async #all(message: (index: number) => ToWorker, signal: AbortSignal): Promise<number[]> {
    signal.throwIfAborted();
    const answers = this.#threads.map((thread, index) => thread.ask(message(index)));
    return await orAborted(Promise.all(answers), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }
}

class Thread {
  readonly #worker: Worker;
  #waiting: PromiseWithResolvers<number> | undefined;

  constructor(worker: Worker) {
    this.#worker = worker;
    const fail = (error: Error) => this.#waiting?.reject(error);
    worker.on("error", fail);
    worker.on("exit", () => fail(new Error("the capture was given up")));
    worker.on("message", (message: FromWorker) => {
      if ("copiedBytes" in message) this.#waiting?.resolve(message.copiedBytes);
      else fail(Object.assign(new Error(message.failure.message), { code: message.failure.code }));
    });
  }

  async ask(message: ToWorker): Promise<number> {
    this.#waiting = Promise.withResolvers();
    this.#worker.postMessage(message);
    return await this.#waiting.promise;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
