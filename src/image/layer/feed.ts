// Gives the thread that builds the image a layer: an open file and how much of it may be read, or a stream's bytes as fast as
// it takes them.
import { Readable } from "node:stream";
import { toErrorBody } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import type { BlobFile } from "./blob-file.ts";
import { chunksInFlight, maxChunkBytes } from "./protocol.ts";
import type { ToBuilder } from "./protocol.ts";

export interface FeedSource {
  sizeBytes?: number;
  /** What it gives is destroyed or disposed when the layer was read. */
  open(signal: AbortSignal): Promise<Readable | BlobFile>;
}

export class LayerFeed {
  /** What the source threw. */
  failure: unknown;
  readonly #index: number;
  readonly #source: FeedSource;
  readonly #progress: Progress;
  readonly #say: (message: ToBuilder, transfer?: ArrayBuffer[]) => void;
  readonly #closed = new AbortController();
  #wanted = chunksInFlight;
  #moreWanted = Promise.withResolvers<void>();
  #isOpen = false;
  #file: BlobFile | undefined;

  constructor(
    index: number,
    source: FeedSource,
    progress: Progress,
    say: (message: ToBuilder, transfer?: ArrayBuffer[]) => void,
  ) {
    this.#index = index;
    this.#source = source;
    this.#progress = progress;
    this.#say = say;
  }

  /** Starts to send; never throws: what the source throws goes to the thread, and into `failure`. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    void this.#send();
  }

  more(): void {
    this.#wanted++;
    this.#moreWanted.resolve();
  }

  damaged(): void {
    this.#file?.damaged();
  }

  /** Stops, and destroys the source's stream. A source that waits for something else may take longer to end; nobody waits for it. */
  close(): void {
    this.#closed.abort();
    this.#moreWanted.resolve();
  }

  async #send(): Promise<void> {
    try {
      const opened = await this.#source.open(AbortSignal.any([this.#progress.signal, this.#closed.signal]));
      if (opened instanceof Readable) await this.#sendStream(opened);
      else await this.#sendFile(opened);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#closed.signal.aborted) return;
    this.failure = error;
    this.#say({ say: "failed", layer: this.#index, error: toErrorBody(error) });
  }

  async #sendFile(opened: BlobFile): Promise<void> {
    const layer = this.#index;
    await using file = opened;
    if (this.#closed.signal.aborted) return;
    this.#file = file;
    const { fd, offset, sizeBytes, check } = file;
    this.#say({ say: "file", layer, file: { fd, offset, sizeBytes, check, count: file.count.memory } });
    file.done.then(
      () => this.#say({ say: "end", layer }),
      (error: unknown) => this.#fail(error),
    );
    // The thread reads it until it says that it does not.
    await this.#untilClosed();
  }

  async #sendStream(stream: Readable): Promise<void> {
    const layer = this.#index;
    const closed = this.#closed.signal;
    const total = this.#source.sizeBytes ?? null;
    let done = 0;
    const stop = () => stream.destroy();
    closed.addEventListener("abort", stop);
    try {
      if (closed.aborted) return;
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        const size = chunk.length;
        for (let at = 0; at < size; at += maxChunkBytes) {
          while (this.#wanted === 0 && !closed.aborted) {
            await this.#moreWanted.promise;
            this.#moreWanted = Promise.withResolvers();
          }
          if (closed.aborted) return;
          this.#wanted--;
          // Copied: others may have the chunk.
          const bytes = new Uint8Array(chunk.subarray(at, at + maxChunkBytes));
          this.#say({ say: "chunk", layer, bytes }, [bytes.buffer]);
        }
        done += size;
        this.#progress.bytes(done, total);
      }
      this.#say({ say: "end", layer });
    } finally {
      closed.removeEventListener("abort", stop);
      stream.destroy();
    }
  }

  async #untilClosed(): Promise<void> {
    const { signal } = this.#closed;
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
  }
}
