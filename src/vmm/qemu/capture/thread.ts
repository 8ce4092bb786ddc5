// The daemon's side of the thread that copies guest memory: starts it, asks it one thing at a time, ends it.
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { existsSync } from "node:fs";
import type { FromWorker, ToWorker } from "./worker.ts";

/** Beside this file from source; the bundler makes it a file of its own in dist/, and may put this code one directory deeper. */
function workerFile(): URL {
  const places = ["worker.ts", "capture-worker.mjs", "../capture-worker.mjs"].map(
    (place) => new URL(place, import.meta.url),
  );
  const found = places.find((place) => existsSync(fileURLToPath(place)));
  if (found === undefined) throw new Error(`no capture worker beside ${import.meta.url}`);
  return found;
}

/** Lives until it is disposed; whoever waits for an answer then gets an error. */
export class CaptureThread implements AsyncDisposable {
  readonly #worker = new Worker(workerFile(), { execArgv: [], env: {} });
  #waiting: PromiseWithResolvers<number> | undefined;

  constructor() {
    const fail = (error: Error) => this.#waiting?.reject(error);
    this.#worker.on("error", fail);
    this.#worker.on("exit", () => fail(new Error("the capture was given up")));
    this.#worker.on("message", (message: FromWorker) => {
      if ("copiedBytes" in message) this.#waiting?.resolve(message.copiedBytes);
      else fail(Object.assign(new Error(message.failure.message), { code: message.failure.code }));
    });
  }

  /** Resolves with the bytes that were copied. Throws an error with the `code` of the system call; the signal's reason on abort. */
  async ask(message: ToWorker, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const waiting = Promise.withResolvers<number>();
    this.#waiting = waiting;
    const onAbort = () => waiting.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#worker.postMessage(message);
    try {
      return await waiting.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}
