// Long work: started by a call, watched by anybody, cancelled by anybody, stored soon after its start and its end.
import type { Operation, OperationKind } from "../api/records.ts";
import { Cancellation } from "../lib/cancellation.ts";
import { BangerError, toErrorBody } from "../lib/errors.ts";
import { newOperationId } from "../lib/ids.ts";
import { currentOperation, withOperation, type Logger } from "../lib/log.ts";
import type { Progress } from "../lib/progress.ts";
import { measureLoopDelay } from "./loop-delay.ts";
import type { OperationStore } from "./services.ts";

/** What the body of an operation is given. */
export interface OperationProgress extends Progress {
  /** Says what it works on, once that has a name. */
  target(name: string): void;
}

interface Running {
  record: Operation;
  controller: AbortController;
  ended: Promise<Operation>;
  /** Woken at each change. */
  listeners: Set<() => void>;
}

/** Finished operations that stay in memory; older ones come from the store. */
const keptFinished = 100;
/** Least time between two updates that a watcher sees; the last one never waits. */
const updateIntervalMs = 100;
const dayMs = 24 * 3600 * 1000;
/** How often what is older than a day is forgotten: a daemon may run for months. */
const sweepIntervalMs = 3600 * 1000;

export class Operations {
  readonly #entries = new Map<string, Running>();
  readonly #store: OperationStore;
  readonly #log: Logger;
  /** By the monotonic clock. */
  #sweptAtMs = performance.now();

  /** Ends what an earlier daemon left under way and forgets what is older than a day. */
  constructor(store: OperationStore, log: Logger) {
    this.#store = store;
    this.#log = log;
    const interrupted = store.markInterrupted(Date.now());
    if (interrupted.length > 0) {
      log.warn("operations of an earlier daemon were interrupted", { operations: interrupted.map(({ id }) => id) });
    }
    store.removeOlderThan(Date.now() - dayMs);
  }

  /**
   * Starts work that nobody has to wait for. Its id is that of the request it came with, so that one id leads through
   * error texts and logs. `target` is empty when the name is not known before; the body tells it then.
   */
  start<T>(kind: OperationKind, target: string, body: (progress: OperationProgress) => Promise<T>): Operation {
    const requestId = currentOperation();
    const id = requestId === undefined || this.#entries.has(requestId) ? newOperationId() : requestId;
    const now = Date.now();
    const record: Operation = {
      id,
      kind,
      target,
      stage: "",
      detail: "",
      progress: null,
      startedAt: now,
      updatedAt: now,
      done: false,
      error: null,
      result: null,
    };
    const controller = new AbortController();
    const { promise: ended, resolve } = Promise.withResolvers<Operation>();
    const entry: Running = { record, controller, ended, listeners: new Set() };
    this.#entries.set(id, entry);
    this.#saveSoon(entry);
    this.#forgetOld();
    void withOperation(id, () => this.#run(entry, body)).then(() => resolve(entry.record));
    return record;
  }

  async #run<T>(entry: Running, body: (progress: OperationProgress) => Promise<T>): Promise<void> {
    const change = (fields: Partial<Operation>) => {
      if (entry.record.done) return;
      entry.record = { ...entry.record, ...fields, updatedAt: Date.now() };
      for (const listener of entry.listeners) listener();
    };
    const { id, kind, startedAt } = entry.record;
    this.#log.info("operation starts", { kind, target: entry.record.target });
    let outcome: Partial<Operation>;
    using delay = measureLoopDelay();
    const measured = () =>
      delay === undefined
        ? {}
        : {
            loopDelayMs: delay.longestMs(),
            loopDelayOwnMs: delay.longestOwnMs(),
            loopBusyMs: delay.longestBusyMs(),
          };
    try {
      const result = await body({
        signal: entry.controller.signal,
        stage: (stage, detail = "") => change({ stage, detail, progress: null }),
        bytes: (doneBytes, totalBytes, parts) =>
          change({
            progress: { doneBytes, totalBytes, ...(parts === undefined ? {} : { parts: [...parts] }) },
          }),
        target: (target) => change({ target }),
      });
      outcome = { result: result ?? {} };
      this.#log.info("operation ends", { kind, outcome: "ok", durationMs: Date.now() - startedAt, ...measured() });
    } catch (error) {
      const failure = { ...toErrorBody(error), operation: id };
      outcome = { error: failure };
      const fields = { kind, outcome: failure.code, durationMs: Date.now() - startedAt, error };
      if (failure.code === "internal") this.#log.error("operation ends", fields);
      else this.#log.info("operation ends", fields);
    }
    change({ ...outcome, done: true });
    this.#saveSoon(entry);
  }

  /**
   * Stores the record as it is when this turn of the event loop has ended: a write waits for the disk, and neither the work nor
   * whoever waits for its end should.
   */
  #saveSoon(entry: Running): void {
    setImmediate(() => {
      try {
        this.#store.save(entry.record);
        this.#sweep();
      } catch (error) {
        // After a restart the operation counts as interrupted.
        this.#log.error("an operation could not be stored", { operation: entry.record.id, error });
      }
    });
  }

  find(id: string): Operation | undefined {
    return this.#entries.get(id)?.record ?? this.#store.get(id);
  }

  #sweep(): void {
    const nowMs = performance.now();
    if (nowMs - this.#sweptAtMs < sweepIntervalMs) return;
    this.#sweptAtMs = nowMs;
    this.#store.removeOlderThan(Date.now() - dayMs);
  }

  /** Throws `operation.not-found`. */
  show(id: string): Operation {
    const record = this.find(id);
    if (record === undefined) {
      throw new BangerError("operation.not-found", `there is no operation "${id}"`, { hint: "banger operation list" });
    }
    return record;
  }

  /** Newest first. */
  list(): Operation[] {
    const mine = [...this.#entries.values()].map(({ record }) => record).toReversed();
    return [...mine, ...this.#store.list().filter(({ id }) => !this.#entries.has(id))];
  }

  running(): number {
    return this.#running().length;
  }

  /**
   * Asks it to stop; it ends with the code "cancelled" when it has undone what it made: with `undoAll` also a VM that was being made,
   * which stays as stopped otherwise. One that is done stays as it is.
   */
  cancel(id: string, { undoAll = false }: { undoAll?: boolean } = {}): Operation {
    const record = this.show(id);
    const entry = this.#entries.get(id);
    if (entry !== undefined && !record.done) {
      entry.controller.abort(new Cancellation(`${record.kind} of "${record.target}" was cancelled`, { undoAll }));
    }
    return record;
  }

  /** Resolves when it is over; at once for one that is only in the store. Throws `operation.not-found`. */
  async ended(id: string): Promise<Operation> {
    const record = this.show(id);
    return (await this.#entries.get(id)?.ended) ?? record;
  }

  /** The operation now and at each change, at most ten a second; ends after the one with done = true, or on abort. */
  async *watch(id: string, options: { signal: AbortSignal }): AsyncGenerator<Operation> {
    let last = this.show(id);
    yield last;
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    while (!last.done) {
      if (!entry.record.done) await nextChange(entry, last, options.signal);
      if (options.signal.aborted) return;
      last = entry.record;
      yield last;
      if (!last.done) await pause(entry, options.signal);
    }
  }

  /** Cancels everything with `reason` and waits until it is undone. */
  async abortAll(reason: BangerError): Promise<void> {
    const running = this.#running();
    for (const entry of running) entry.controller.abort(reason);
    await Promise.all(running.map((entry) => entry.ended));
  }

  #running(): Running[] {
    return [...this.#entries.values()].filter((entry) => !entry.record.done);
  }

  #forgetOld(): void {
    const finished = [...this.#entries.values()].filter((entry) => entry.record.done);
    for (const entry of finished.slice(0, Math.max(0, finished.length - keptFinished))) {
      this.#entries.delete(entry.record.id);
    }
  }
}

/** Resolves when the record is no longer `seen`, or on abort. */
function nextChange(entry: Running, seen: Operation, signal: AbortSignal): Promise<void> {
  return woken(entry, signal, () => entry.record !== seen);
}

/** Resolves after the update interval, when the operation is done, or on abort. */
function pause(entry: Running, signal: AbortSignal): Promise<void> {
  return woken(entry, signal, () => entry.record.done, updateIntervalMs);
}

async function woken(entry: Running, signal: AbortSignal, ready: () => boolean, mostMs?: number): Promise<void> {
  if (signal.aborted || ready()) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const check = () => {
    if (signal.aborted || ready()) resolve();
  };
  entry.listeners.add(check);
  signal.addEventListener("abort", check, { once: true });
  // Not AbortSignal.timeout, which makes an error with its stack each time.
  const timer = mostMs === undefined ? undefined : setTimeout(resolve, mostMs);
  await promise;
  clearTimeout(timer);
  entry.listeners.delete(check);
  signal.removeEventListener("abort", check);
}
