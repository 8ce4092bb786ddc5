// Sends a layer's bytes to the thread that builds the image, as fast as it takes them.
import type { Readable } from "node:stream";
import { toErrorBody } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { chunksInFlight, maxChunkBytes } from "./protocol.ts";
import type { ToBuilder } from "./protocol.ts";

export interface FeedSource {
  sizeBytes?: number;
  /** Nobody else has the chunks of its stream: they are sent without being copied, and empty then. Default: false. */
  givesAway?: boolean;
  open(signal: AbortSignal): Promise<Readable>;
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

  /** Stops, and destroys the source's stream. A source that waits for something else may take longer to end; nobody waits for it. */
  close(): void {
    this.#closed.abort();
    this.#moreWanted.resolve();
  }

  async #send(): Promise<void> {
    const layer = this.#index;
    const closed = this.#closed.signal;
    const total = this.#source.sizeBytes ?? null;
    let done = 0;
    let stream: Readable | undefined;
    const stop = () => stream?.destroy();
    closed.addEventListener("abort", stop);
    try {
      const opened = await this.#source.open(AbortSignal.any([this.#progress.signal, closed]));
      stream = opened;
      if (closed.aborted) return;
      for await (const chunk of opened as AsyncIterable<Buffer>) {
        const size = chunk.length;
        for (let at = 0; at < size; at += maxChunkBytes) {
          while (this.#wanted === 0 && !closed.aborted) {
            await this.#moreWanted.promise;
            this.#moreWanted = Promise.withResolvers();
          }
          if (closed.aborted) return;
          this.#wanted--;
          const bytes = movable(chunk.subarray(at, at + maxChunkBytes), this.#source.givesAway === true);
          this.#say({ say: "chunk", layer, bytes }, [bytes.buffer]);
        }
        done += size;
        this.#progress.bytes(done, total);
      }
      this.#say({ say: "end", layer });
    } catch (error) {
      if (closed.aborted) return;
      this.failure = error;
      this.#say({ say: "failed", layer, error: toErrorBody(error) });
    } finally {
      closed.removeEventListener("abort", stop);
      stream?.destroy();
    }
  }
}

/** The same bytes, alone in their memory; without a copy where that may be. */
function movable(chunk: Buffer, mayMove: boolean): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = chunk;
  const isAlone = mayMove && buffer instanceof ArrayBuffer && byteLength === buffer.byteLength;
  return isAlone ? new Uint8Array(buffer) : new Uint8Array(chunk);
}
