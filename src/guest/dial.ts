// A connection to a listener inside the guest, carried by a call.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Duplex } from "node:stream";
import { BangerError } from "../lib/errors.ts";
import type { CallOptions, DialTarget } from "./agent.ts";
import { StreamingCall, maxChunkBytes } from "./call.ts";
import { guestFailure, reasonOf } from "./failure.ts";
import type { DialRequestSchema, DialResponse, DialTargetSchema } from "./gen/banger/agent/v1/agent_pb.js";
import type { GuestSession } from "./session.ts";

type DialCall = StreamingCall<MessageInitShape<typeof DialRequestSchema>, DialResponse>;

/** How long the agent may take to end a call whose both directions are closed. */
const lingerMs = 10_000;

/** Implements `GuestAgent.dial`. The caller owns the connection; destroying it cuts the guest's end. */
export async function dial(session: GuestSession, target: DialTarget, options: CallOptions): Promise<Duplex> {
  if (options.signal.aborted) throw reasonOf(options.signal);
  const call: DialCall = new StreamingCall({
    session,
    codes: guestFailure,
    signal: options.signal,
    start: (requests, signal) => session.clients.ports.dial(requests, { signal }),
  });
  void call.requests.send({ message: { case: "target", value: { target: targetMessage(target) } } });
  const first = await call.next();
  if (first?.message.case !== "connected") throw call.violation("dial did not begin with its success");
  return new GuestConnection(call);
}

function targetMessage(target: DialTarget): NonNullable<MessageInitShape<typeof DialTargetSchema>["target"]> {
  if ("tcp" in target) return { case: "tcp", value: target.tcp };
  if ("unix" in target) return { case: "unix", value: target.unix };
  return { case: "service", value: target.service };
}

class GuestConnection extends Duplex {
  readonly #call: DialCall;
  #ended = false;

  constructor(call: DialCall) {
    super({ allowHalfOpen: true });
    this.#call = call;
  }

  override _read(): void {
    if (this.#ended) return;
    this.#pull().catch((error: unknown) => this.destroy(error as Error));
  }

  async #pull(): Promise<void> {
    for (;;) {
      const reply = await this.#call.next();
      if (reply?.message.case === "data" && !this.#ended) {
        // The stream asks again when it has room; an empty message gives it nothing to ask for.
        if (reply.message.value.length > 0) return void this.push(reply.message.value);
      } else if ((reply === undefined || reply.message.case === "eof") && !this.#ended) {
        this.#ended = true;
        this.push(null);
      }
      // Behind the guest's end only the end of the call can come: wait for it, so that its failure is seen.
      if (reply === undefined) return;
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk).then(() => done(), done);
  }

  async #send(chunk: Buffer): Promise<void> {
    for (let offset = 0; offset < chunk.length; offset += maxChunkBytes) {
      const value = chunk.subarray(offset, offset + maxChunkBytes);
      if (await this.#call.requests.send({ message: { case: "data", value } })) continue;
      // Data for a listener that is gone is dropped as long as somebody may still read what it said before.
      if (!this.readableEnded) return;
      throw new BangerError("guest.failed", "the connection inside the guest is closed");
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    const { requests } = this.#call;
    void requests
      .send({ message: { case: "eof", value: true } })
      .then(() => requests.flushed())
      .then(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (error === null && this.#ended && this.writableFinished) {
      // Both directions ended well: a reset now could overtake what the agent has not passed on yet.
      const timer = setTimeout(() => this.#call.cancel(), lingerMs);
      timer.unref();
      this.#call.over.addEventListener("abort", () => clearTimeout(timer), { once: true });
    } else {
      this.#call.cancel();
    }
    done(error);
  }
}
