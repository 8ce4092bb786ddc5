// How far a thread is, where the daemon's own can look. The thread does not tell it: a message is put into a port under a lock, and who has
// a lock when it loses its processor stops the other.
import type { Progress } from "./progress.ts";
import { SharedCount } from "./shared-count.ts";

/** Between two looks; nobody can see more. */
const lookIntervalMs = 100;

/** Of the bytes that are done, and of all that there are: -1 when nobody knows how many. */
export interface ProgressMemory {
  done: SharedArrayBuffer;
  total: SharedArrayBuffer;
}

/** For the thread: what its `Progress` says of bytes. */
export function tellBytes(memory: ProgressMemory): Progress["bytes"] {
  const [done, total] = [new SharedCount(memory.done), new SharedCount(memory.total)];
  return (doneBytes, totalBytes) => {
    done.value = doneBytes;
    total.value = totalBytes ?? -1;
  };
}

/** For whoever started the thread: passes on what it tells until it is disposed. */
export class SharedProgress implements Disposable {
  readonly #done = new SharedCount();
  readonly #total = new SharedCount();
  readonly #bytes: Progress["bytes"];
  readonly #timer = setInterval(() => this.look(), lookIntervalMs);
  #seen = 0;

  constructor(bytes: Progress["bytes"]) {
    this.#bytes = bytes;
  }

  get memory(): ProgressMemory {
    return { done: this.#done.memory, total: this.#total.memory };
  }

  /** At once: before the next stage begins. */
  look(): void {
    const [done, total] = [this.#done.value, this.#total.value];
    if (done === this.#seen) return;
    this.#seen = done;
    this.#bytes(done, total < 0 ? null : total);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
