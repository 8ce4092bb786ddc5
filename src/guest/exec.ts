// Runs one process in the guest: its streams both ways with backpressure, its signals, its exact exit status.
import type { Writable } from "node:stream";
import { BangerError } from "../lib/errors.ts";
import type { CallOptions, ExecHandle, ExecSpec } from "./agent.ts";
import { StreamingCall } from "./call.ts";
import { execFailure, reasonOf } from "./failure.ts";
import type { ExecRequestSchema, ExecResponse } from "./gen/banger/agent/v1/agent_pb.js";
import type { GuestSession } from "./session.ts";
import { pump } from "./source.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";

type ExecCall = StreamingCall<MessageInitShape<typeof ExecRequestSchema>, ExecResponse>;

/** Implements `GuestAgent.exec`. The streams of `spec` stay the caller's: none of them is ended or destroyed. */
export async function exec(session: GuestSession, spec: ExecSpec, options: CallOptions): Promise<ExecHandle> {
  if (options.signal.aborted) throw reasonOf(options.signal);
  const call: ExecCall = new StreamingCall({
    session,
    codes: execFailure,
    signal: options.signal,
    start: (requests, signal) => session.clients.processes.exec(requests, { signal }),
  });
  void call.requests.send({
    message: {
      case: "start",
      value: {
        argv: [...spec.argv],
        environment: [...(spec.environment ?? [])],
        cwd: spec.cwd ?? "",
        user: spec.user ?? "",
        ...(spec.terminal === undefined ? {} : { terminal: spec.terminal }),
        stdin: spec.stdin !== undefined,
        stopSignal: spec.stopSignal ?? 0,
      },
    },
  });
  const first = await call.next();
  if (first?.message.case !== "startedPid") throw call.violation("exec did not begin with a process id");
  const exited = follow(call, spec, options.signal);
  // The caller may look at it late, or never.
  exited.catch(() => {});
  return {
    exited,
    resize: (size) => void call.requests.sendUrgent({ message: { case: "resize", value: size } }),
    signal: (number) => void call.requests.sendUrgent({ message: { case: "signal", value: number } }),
  };
}

async function follow(call: ExecCall, spec: ExecSpec, signal: AbortSignal): Promise<{ code: number; signal: number }> {
  let inputFailure: Error | undefined;
  const stdin = spec.stdin && pump(spec.stdin, (value) => call.requests.send({ message: { case: "stdin", value } }));
  stdin?.ended.then(
    () => call.requests.send({ message: { case: "stdinEof", value: true } }),
    (error: Error) => {
      inputFailure = error;
      call.cancel();
    },
  );
  const stdout = new Sink(spec.stdout, call.over);
  const stderr = new Sink(spec.stderr, call.over);
  let exit: { code: number; signal: number } | undefined;
  try {
    for (let reply = await call.next(); reply !== undefined; reply = await call.next()) {
      const { message } = reply;
      if (exit !== undefined) throw call.violation("exec went on after the exit status");
      if (message.case === "stdout") await stdout.write(message.value);
      else if (message.case === "stderr") await stderr.write(message.value);
      else if (message.case === "exit") exit = { code: message.value.code, signal: message.value.signal };
    }
    if (exit === undefined || exit.code < 0 || exit.code > 255) {
      throw call.violation("exec ended without an exit status");
    }
    await stdout.flush(signal);
    await stderr.flush(signal);
    return exit;
  } catch (error) {
    if (signal.aborted) throw reasonOf(signal);
    throw inputFailure ?? error;
  } finally {
    stdin?.stop();
    stdout.release();
    stderr.release();
    call.cancel();
  }
}

/** Writes to a stream of the caller's and waits when it is full. */
class Sink {
  readonly #stream: Writable;
  readonly #over: AbortSignal;
  #waiting = 0;
  #failure: Error | undefined;
  #wake: () => void = () => {};
  readonly #onDrain = () => this.#wake();
  readonly #onError = (error: Error) => {
    this.#failure ??= error;
    this.#wake();
  };
  readonly #onClose = () => this.#onError(new BangerError("cancelled", "nobody takes the process's output any more"));

  constructor(stream: Writable, over: AbortSignal) {
    this.#stream = stream;
    this.#over = over;
    stream.on("drain", this.#onDrain).on("error", this.#onError).on("close", this.#onClose);
    if (stream.destroyed) this.#onClose();
  }

  /** Returns when the stream has room again. Throws its error, or when the call is over before. */
  async write(data: Uint8Array): Promise<void> {
    this.#throwIfFailed();
    this.#waiting += 1;
    const room = this.#stream.write(data, () => {
      this.#waiting -= 1;
      this.#wake();
    });
    if (!room) await this.#until(() => !this.#stream.writableNeedDrain, this.#over);
  }

  /** Returns when everything was written. */
  async flush(signal: AbortSignal): Promise<void> {
    await this.#until(() => this.#waiting === 0, signal);
  }

  release(): void {
    // The listener for errors stays: a late failure of the stream must not end the process.
    this.#stream.off("drain", this.#onDrain).off("close", this.#onClose);
  }

  async #until(done: () => boolean, signal: AbortSignal): Promise<void> {
    const onAbort = () => this.#wake();
    signal.addEventListener("abort", onAbort);
    try {
      for (;;) {
        this.#throwIfFailed();
        if (done()) return;
        if (signal.aborted) throw reasonOf(signal);
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await promise;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#wake = () => {};
    }
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
