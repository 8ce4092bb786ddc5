// The daemon's side of the thread that fetches the blobs of one repository: bytes that pass the daemon's own thread are garbage
// there, and collecting it stops all else. What it may do, and as whom, is decided here.
import { Worker } from "node:worker_threads";
import { fromErrorBody, toErrorBody } from "../../lib/errors.ts";
import type { BlobSaver, Descriptor, SaveRequest } from "../../lib/oci-content.ts";
import { workerFile } from "../../lib/worker-file.ts";
import type { ImageReference } from "../reference.ts";
import type { Session } from "../session.ts";
import { type Answer, type FromSaver, type Question, type SaverJob, sendable, type ToSaver } from "./protocol.ts";

interface Save extends Pick<SaveRequest, "onGrowth" | "count"> {
  /** Of the count, when it was looked at last. */
  seen: number;
  resolve(digest: string): void;
  reject(error: unknown): void;
}

/** Between two looks at what has grown. The thread does not tell: it would have the lock of the port when it loses its processor. */
const lookIntervalMs = 100;
/** Most of what the thread has is outside of this: the bytes of blobs. */
const youngMib = 16;

export class SaveThread implements BlobSaver, Disposable {
  readonly #session: Session;
  readonly #where: Pick<ImageReference, "registry" | "repository"> & { insecure: boolean };
  readonly #saves = new Map<number, Save>();
  readonly #life = new AbortController();
  #lastId = 0;
  #worker: Worker | undefined;
  #looking: NodeJS.Timeout | undefined;
  #isDisposed = false;

  /** Nothing is started before the first save. */
  constructor(session: Session, where: Pick<ImageReference, "registry" | "repository"> & { insecure: boolean }) {
    this.#session = session;
    this.#where = where;
  }

  async save(descriptor: Descriptor, request: SaveRequest): Promise<string> {
    const { signal, onGrowth, fd, haveBytes, label, count } = request;
    const base = await this.#session.base(signal);
    signal.throwIfAborted();
    const worker = (this.#worker ??= this.#start(base));
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#saves.set(id, { resolve, reject, onGrowth, count, seen: count.value });
    this.#looking ??= setInterval(() => this.#look(), lookIntervalMs);
    const say = (message: ToSaver) => worker.postMessage(message, []);
    // The thread answers that too: until then it may write.
    const stop = () => say({ say: "abort", id, error: toErrorBody(signal.reason) });
    signal.addEventListener("abort", stop, { once: true });
    say({ say: "save", id, descriptor, request: { fd, haveBytes, label, count: count.memory } });
    try {
      return await promise;
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#saves.delete(id);
      if (this.#saves.size === 0) {
        clearInterval(this.#looking);
        this.#looking = undefined;
      }
      this.#endWhenIdle();
    }
  }

  /** What is being saved goes on: the thread ends after the last. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#endWhenIdle();
  }

  #start(base: URL): Worker {
    const { limits } = this.#session;
    const job: SaverJob = { ...this.#where, limits, base: base.href };
    const worker = new Worker(workerFile(import.meta.url, "registry-worker.mjs"), {
      workerData: job,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: youngMib },
    });
    worker.on("message", (message: FromSaver) => this.#hear(worker, message));
    const fail = (error: unknown) => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const save of this.#saves.values()) save.reject(error);
    };
    worker.on("error", fail);
    worker.on("exit", () => fail(new Error("the thread that saves blobs ended")));
    return worker;
  }

  #hear(worker: Worker, message: FromSaver): void {
    if (message.say === "ask") {
      void this.#answer(message.question).then((answer) =>
        worker.postMessage({ say: "answer", id: message.id, answer } satisfies ToSaver, []),
      );
      return;
    }
    const save = this.#saves.get(message.id);
    if (message.say === "saved") save?.resolve(message.digest);
    else save?.reject(fromErrorBody(message.error));
  }

  #look(): void {
    for (const save of this.#saves.values()) {
      const { value } = save.count;
      if (value === save.seen) continue;
      save.seen = value;
      save.onGrowth();
    }
  }

  async #answer(question: Question): Promise<Answer> {
    const { authorization } = this.#session;
    const { signal } = this.#life;
    const answer: Answer = {};
    try {
      if (question.about === "header") answer.header = await authorization.header(signal);
      else {
        const { url, challenge, used } = question;
        const headers = challenge === undefined ? {} : { "www-authenticate": challenge };
        answer.hasLearned = await authorization.learn({ url: new URL(url), headers }, used, signal);
      }
    } catch (error) {
      answer.error = sendable(error);
    }
    const explanation = authorization.explanation();
    if (explanation !== undefined) {
      const { cause, ...rest } = explanation;
      answer.explanation = { ...rest, ...(cause === undefined ? {} : { cause: toErrorBody(cause) }) };
    }
    return answer;
  }

  #endWhenIdle(): void {
    if (!this.#isDisposed || this.#saves.size > 0) return;
    this.#life.abort();
    void this.#worker?.terminate();
    this.#worker = undefined;
  }
}
