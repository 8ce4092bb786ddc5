// The request half of a streaming call: an async iterable that its producer fills one message at a time.
const maxUrgent = 64;

/**
 * Requests of one call. `send` resolves when the transport has taken the message, so a producer that awaits
 * it keeps one message here at most.
 * The transport ends the iteration when the call is over, which ends every waiting `send` too.
 */
export class Requests<T> implements AsyncIterableIterator<T> {
  readonly #urgent: T[] = [];
  readonly #data: { message: T; taken: (open: boolean) => void }[] = [];
  #wanted: ((result: IteratorResult<T, undefined>) => void) | undefined;
  readonly #onIdle: (() => void)[] = [];
  #ended = false;
  #over = false;

  /** Resolves with false when the call is over and the message was dropped. */
  send(message: T): Promise<boolean> {
    if (this.#ended || this.#over) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#data.push({ message, taken: resolve });
    this.#deliver();
    return promise;
  }

  /** Passes waiting data; never blocks. Returns false when it was dropped: call over, or 64 of them wait already. */
  sendUrgent(message: T): boolean {
    if (this.#ended || this.#over || this.#urgent.length >= maxUrgent) return false;
    this.#urgent.push(message);
    this.#deliver();
    return true;
  }

  /** Resolves when the transport has written everything so far, or when the call is over. */
  flushed(): Promise<void> {
    if (this.#idle()) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onIdle.push(resolve);
    return promise;
  }

  /** Ends the request stream behind what waits. */
  end(): void {
    this.#ended = true;
    this.#deliver();
  }

  /** Drops what waits: nobody takes it any more. */
  abandon(): void {
    this.#over = true;
    this.#urgent.length = 0;
    for (const { taken } of this.#data.splice(0)) taken(false);
    this.#deliver();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const { promise, resolve } = Promise.withResolvers<IteratorResult<T, undefined>>();
    this.#wanted = resolve;
    this.#deliver();
    return promise;
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.abandon();
    return Promise.resolve({ done: true, value: undefined });
  }

  throw(): Promise<IteratorResult<T, undefined>> {
    return this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The transport asks for the next message only when it has written the last one. */
  #idle(): boolean {
    return this.#over || (this.#wanted !== undefined && this.#urgent.length === 0 && this.#data.length === 0);
  }

  #deliver(): void {
    this.#pass();
    if (this.#idle()) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #pass(): void {
    const wanted = this.#wanted;
    if (wanted === undefined) return;
    const urgent = this.#urgent.shift();
    const next = urgent === undefined ? this.#data.shift() : { message: urgent, taken: undefined };
    if (next !== undefined) {
      this.#wanted = undefined;
      wanted({ done: false, value: next.message });
      next.taken?.(true);
    } else if (this.#ended || this.#over) {
      this.#wanted = undefined;
      wanted({ done: true, value: undefined });
    }
  }
}
