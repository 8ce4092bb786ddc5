// A thread that copies guest memory, so that the daemon answers others meanwhile. Speaks the messages of threads.ts.
import { parentPort } from "node:worker_threads";
import { type CopyTarget, PageCopy } from "./page-copy.ts";
import type { MemorySource, Share } from "./page-map.ts";

export type ToWorker = { call: "open"; source: MemorySource; share: Share; target: CopyTarget } | { call: "copy" };
export type FromWorker = { copiedBytes: number } | { failure: { message: string; code: string | undefined } };

let open: PageCopy | undefined;

function answer(message: ToWorker): FromWorker {
  try {
    if (message.call === "open") open = new PageCopy(message.source, message.share, message.target);
    return { copiedBytes: message.call === "copy" ? (open?.copy() ?? 0) : 0 };
  } catch (error) {
    const { message: text, code } = error as NodeJS.ErrnoException;
    return { failure: { message: text, code } };
  }
}

parentPort?.on("message", (message: ToWorker) => parentPort?.postMessage(answer(message)));
