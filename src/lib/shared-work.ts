// One piece of work, several waiters: whoever asks for a key that is under way joins it. A waiter may leave without
// stopping the work; when the last one leaves, the work is cancelled.
import { BangerError } from "./errors.ts";
import type { Progress } from "./progress.ts";

interface Work<T> {
  result: Promise<T>;
  waiters: Set<Progress>;
  abort: AbortController;
  lastStage: [string, string | undefined];
}

/** Shares running work by key. Finished work is forgotten at once: nothing is cached. */
export class SharedWork<T> {
  readonly #running = new Map<string, Work<T>>();

  /**
   * Runs `body` for `key`, or joins the one that runs. Everyone's progress is fed. Rejects with the work's error, or
   * with the reason of this waiter's signal; the last waiter that leaves waits until the work has cleaned up.
   */
  async run(key: string, progress: Progress, body: (progress: Progress) => Promise<T>): Promise<T> {
    progress.signal.throwIfAborted();
    let work = this.#running.get(key);
    if (work === undefined || work.abort.signal.aborted) {
      // A cancelled predecessor may still be cleaning up: its files must be gone before the same work starts again.
      const before = work?.result;
      work = this.#start(key, async (inner) => {
        await before?.catch(() => {});
        return body(inner);
      });
    } else progress.stage(...work.lastStage);
    const joined = work;
    joined.waiters.add(progress);
    const left = Promise.withResolvers<never>();
    const leave = () => {
      joined.waiters.delete(progress);
      const reason: unknown = progress.signal.reason ?? new BangerError("cancelled", "cancelled");
      if (joined.waiters.size > 0) return left.reject(reason);
      joined.abort.abort(reason);
      const reject = () => left.reject(reason);
      joined.result.then(reject, reject);
    };
    progress.signal.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([joined.result, left.promise]);
    } finally {
      progress.signal.removeEventListener("abort", leave);
      joined.waiters.delete(progress);
    }
  }

  #start(key: string, body: (progress: Progress) => Promise<T>): Work<T> {
    const waiters = new Set<Progress>();
    const abort = new AbortController();
    const inner: Progress = {
      signal: abort.signal,
      stage: (name, detail) => {
        work.lastStage = [name, detail];
        for (const waiter of waiters) waiter.stage(name, detail);
      },
      bytes: (done, total, parts) => {
        for (const waiter of waiters) waiter.bytes(done, total, parts);
      },
    };
    const work: Work<T> = {
      waiters,
      abort,
      lastStage: ["wait", undefined],
      result: Promise.resolve().then(() => body(inner)),
    };
    const forget = () => {
      if (this.#running.get(key) === work) this.#running.delete(key);
    };
    work.result.then(forget, forget);
    this.#running.set(key, work);
    return work;
  }
}
