// A command in a VM, between three byte streams and an exit status.
import { Writable, type Readable } from "node:stream";
import { once } from "node:events";
import type { FrameSocket } from "../api/frame-socket.ts";
import { frameType, inputWindowBytes, type Frame } from "../api/frames.ts";
import type { ParamsOf } from "../api/methods.ts";
import { fromErrorBody, type ErrorBody } from "../lib/errors.ts";
import type { Client } from "./client.ts";
import { connectionLost } from "./transport.ts";

export interface ExecStreams {
  /** Absent: /dev/null. Unpiped, not destroyed, when the command has ended. */
  stdin?: Readable;
  /** Written with back-pressure, not ended. */
  stdout: Writable;
  stderr: Writable;
  /** Ends the command: its whole process group is killed in the guest. */
  signal?: AbortSignal;
}

export interface RemoteProcess {
  /** The exit status as a shell shows it (128+n for signal n), after all output was written. */
  readonly exited: Promise<{ code: number; signal: number }>;
  resize(size: { columns: number; rows: number }): void;
  /** Sends a signal by number to the process group. */
  kill(signal: number): void;
}

/** Resolves when the process runs. Throws `exec.not-found`, `exec.failed`, `vm.wrong-state`, ... */
export async function exec(
  client: Client,
  params: Omit<ParamsOf<"vm.exec">, "stdin">,
  streams: ExecStreams,
): Promise<RemoteProcess> {
  const { stdin, signal } = streams;
  const socket = await client.stream(
    "vm.exec",
    { ...params, stdin: stdin !== undefined },
    signal === undefined ? {} : { signal },
  );
  const input = new InputWindow(socket);
  const started = Promise.withResolvers<void>();
  const exited = receive(socket, streams, input, started.resolve).finally(() => {
    stdin?.unpipe(input);
    socket[Symbol.dispose]();
  });
  await Promise.race([started.promise, exited]);
  stdin?.pipe(input);
  return {
    exited,
    resize: (size) => socket.sendJson(frameType.resize, size),
    kill: (number) => socket.sendJson(frameType.signal, { signal: number }),
  };
}

async function receive(
  socket: FrameSocket,
  { stdout, stderr, signal }: ExecStreams,
  input: InputWindow,
  onStarted: () => void,
): Promise<{ code: number; signal: number }> {
  for await (const { type, payload } of socket.frames) {
    if (type === frameType.output) await write(stdout, payload);
    else if (type === frameType.errorOutput) await write(stderr, payload);
    else if (type === frameType.started) onStarted();
    else if (type === frameType.inputTaken) input.taken(payload.readUInt32BE(0));
    else if (type === frameType.exit) return JSON.parse(payload.toString()) as { code: number; signal: number };
    else if (type === frameType.error) throw frameError(payload);
  }
  signal?.throwIfAborted();
  throw connectionLost();
}

async function write(stream: Writable, payload: Buffer): Promise<void> {
  if (!stream.write(payload)) await once(stream, "drain");
}

/** The error that a frame carries. */
export function frameError(payload: Frame["payload"]): Error {
  return fromErrorBody(JSON.parse(payload.toString()) as ErrorBody);
}

/** Sends input, never more than a window ahead of what the process has taken. */
class InputWindow extends Writable {
  readonly #socket: FrameSocket;
  #ahead = 0;
  #resume: (() => void) | undefined;

  constructor(socket: FrameSocket) {
    super();
    this.#socket = socket;
  }

  taken(bytes: number): void {
    this.#ahead -= bytes;
    if (this.#ahead >= inputWindowBytes) return;
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    const piece = chunk.subarray(0, inputWindowBytes / 4);
    const rest = chunk.subarray(piece.length);
    const next = rest.length === 0 ? callback : () => this._write(rest, _encoding, callback);
    this.#ahead += piece.length;
    void this.#socket.send(frameType.input, piece).then(() => {
      if (this.#ahead < inputWindowBytes) next();
      else this.#resume = next;
    });
  }

  override _final(callback: () => void): void {
    void this.#socket.send(frameType.inputEnd).then(callback);
  }
}
