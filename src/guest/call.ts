// One streaming call under way: its requests, its replies, and its end by whichever side comes first.
import { Code, ConnectError } from "@connectrpc/connect";
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { BangerError } from "../lib/errors.ts";
import type { FailureCodes } from "./failure.ts";
import { Requests } from "./requests.ts";
import type { GuestSession } from "./session.ts";

/** Largest piece of data in one request. */
export const maxChunkBytes = 64 * 1024;

/** After so many replies others get their turn: a guest that sends tiny ones must not hold up the daemon. */
const repliesPerTurn = 256;

export interface CallSetup<Request, Reply> {
  session: GuestSession;
  codes: FailureCodes;
  /** The caller's: its abort cancels the call. */
  signal: AbortSignal;
  start: (requests: Requests<Request>, signal: AbortSignal) => AsyncIterable<Reply>;
}

/** The caller ends it: by reading `next` until undefined or an error, or by `cancel`. */
export class StreamingCall<Request, Reply> {
  readonly requests = new Requests<Request>();
  readonly #setup: CallSetup<Request, Reply>;
  readonly #controller = new AbortController();
  readonly #replies: AsyncIterator<Reply>;
  readonly #onAbort = () => this.cancel();
  #taken = 0;

  constructor(setup: CallSetup<Request, Reply>) {
    setup.signal.throwIfAborted();
    this.#setup = setup;
    setup.signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#replies = setup.start(this.requests, this.#controller.signal)[Symbol.asyncIterator]();
  }

  /** Aborted when the call is over, for whatever reason. */
  get over(): AbortSignal {
    return this.#controller.signal;
  }

  /** The next reply; undefined when the call ended well. Throws a BangerError. One at a time. */
  async next(): Promise<Reply | undefined> {
    this.#taken += 1;
    if (this.#taken % repliesPerTurn === 0) await nextTurn();
    try {
      const result = await this.#replies.next();
      if (result.done !== true) return result.value;
      this.cancel();
      return undefined;
    } catch (error) {
      const failure = await this.#setup.session.failure(error, this.#setup.codes, this.#setup.signal);
      this.cancel();
      throw failure;
    }
  }

  /** Ends the call; the agent sees a reset stream. No effect after its end. */
  cancel(): void {
    this.#setup.signal.removeEventListener("abort", this.#onAbort);
    this.requests.abandon();
    // This code makes the reset a CANCEL, which is no fault of anyone.
    if (!this.over.aborted) this.#controller.abort(new ConnectError("cancelled", Code.Canceled));
  }

  /** The agent said something that the contract forbids: ends the session and returns the error to throw. */
  violation(what: string): BangerError {
    return this.#setup.session.violation(what);
  }
}

/**
 * The replies' data as a stream, after the first reply came: so a refusal of the agent is thrown here. The stream fails with
 * a BangerError; destroying it cancels the call.
 */
export async function readableOf<Reply>(
  call: StreamingCall<never, Reply>,
  dataOf: (reply: Reply) => Uint8Array,
): Promise<Readable> {
  let first = await call.next();
  return new Readable({
    read() {
      const pull = async () => {
        for (;;) {
          const reply = first ?? (await call.next());
          first = undefined;
          if (reply === undefined) return this.push(null);
          const data = dataOf(reply);
          // The stream asks again when it has room; an empty message gives it nothing to ask for.
          if (data.length > 0) return this.push(data);
        }
      };
      pull().catch((error: unknown) => this.destroy(error as Error));
    },
    destroy(error, done) {
      call.cancel();
      done(error);
    },
  });
}
