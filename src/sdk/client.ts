// The client of the daemon: calls by method kind, and the manners between versions (start it, replace it, wait for it).
// Imports types of the contract only: evaluating the schemas would double the start-up time of the CLI.
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { FrameSocket } from "../api/frame-socket.ts";
import type { MethodName, MethodsOfKind, ParamsOf, ResultOf } from "../api/methods.ts";
import type { Operation } from "../api/records.ts";
import type { Paths } from "../config/paths.ts";
import type { BuildInfo } from "../lib/build-info.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { followOperation, type FollowOptions } from "./operate.ts";
import { isLost, isNotBegun, isNotThere, pieces, readJson, readLines, send, type Request } from "./transport.ts";
import { sendUpgrade } from "./upgrade.ts";

export interface ConnectOptions {
  paths: Paths;
  /** A daemon that was built earlier is replaced. */
  build: BuildInfo;
  /** Start the daemon when none listens. */
  autoStart: boolean;
  /** Program and arguments of the daemon, absolute. Needed for autoStart. */
  daemonCommand?: readonly string[];
  /** What the daemon's environment is taken from. Default: process.env. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Ends every call of this client. */
  signal?: AbortSignal;
  /** Told in one sentence what happened beside the calls: "the running daemon is older and busy ...". */
  onNotice?: (text: string) => void;
}

export interface CallOptions {
  signal?: AbortSignal;
}

/** Tries after a daemon was started, replaced or waited for. */
const maxTries = 4;

/** Pause before a call is repeated whose daemon went away. */
const lostPauseMs = 50;
/** Methods that change nothing: they may be begun twice. */
const readOnly = /\.(list|show|status|watch|inspect|catalog|health|stat|ssh)$/;

/** Makes a client. No connection is made before the first call. */
export function connect(options: ConnectOptions): Client {
  return new Client(options);
}

/** One program's access to the daemon. Dispose ends the calls that are still open. */
export class Client implements Disposable, AsyncDisposable {
  readonly #options: ConnectOptions;
  readonly #closed = new AbortController();
  /** Set once an older daemon turned out to be busy: from then on its age is accepted. */
  #acceptOutdated = false;

  constructor(options: ConnectOptions) {
    this.#options = options;
  }

  /** A unary method. */
  async call<N extends MethodsOfKind<"unary">>(
    name: N,
    params: ParamsOf<N>,
    options: CallOptions = {},
  ): Promise<ResultOf<N>> {
    const signal = this.#signal(options);
    return (await readJson(await this.#send(name, { body: JSON.stringify(params) }, signal), signal)) as ResultOf<N>;
  }

  /** Starts an operation and returns it at once. Once it is sent, an abort does not take it back: cancel the operation. */
  async begin<N extends MethodsOfKind<"operation">>(
    name: N,
    params: ParamsOf<N>,
    options: CallOptions = {},
  ): Promise<Operation> {
    const signal = this.#signal(options);
    const reply = await this.#trying(name, signal, (headers) =>
      send(this.#socket, {
        name,
        headers: { ...headers, "content-type": "application/json", expect: "100-continue" },
        body: JSON.stringify(params),
      }),
    );
    return (await readJson(reply)) as Operation;
  }

  /** Watches an operation to its end. Throws its error, which carries its id. */
  async follow<N extends MethodsOfKind<"operation">>(
    operation: Operation,
    options: FollowOptions = {},
  ): Promise<ResultOf<N>> {
    return (await followOperation(this, operation, options)) as ResultOf<N>;
  }

  /** Starts an operation and watches it to its end; an abort cancels it and waits until it is undone (unless `detach`). */
  async operate<N extends MethodsOfKind<"operation">>(
    name: N,
    params: ParamsOf<N>,
    options: FollowOptions = {},
  ): Promise<ResultOf<N>> {
    const { signal } = options;
    return this.follow<N>(await this.begin(name, params, signal === undefined ? {} : { signal }), options);
  }

  /** The events of a method until it ends. Leaving the loop, or an abort, closes the connection. */
  async *events<N extends MethodsOfKind<"events">>(
    name: N,
    params: ParamsOf<N>,
    options: CallOptions = {},
  ): AsyncGenerator<ResultOf<N>> {
    const signal = this.#signal(options);
    const message = await this.#send(name, { body: JSON.stringify(params) }, signal);
    try {
      for await (const line of readLines(message, signal)) yield JSON.parse(line) as ResultOf<N>;
    } finally {
      message.destroy();
    }
  }

  /** The bytes of a method. The stream fails with the daemon's error; destroying it closes the connection. */
  async download<N extends MethodsOfKind<"download">>(
    name: N,
    params: ParamsOf<N>,
    options: CallOptions = {},
  ): Promise<Readable> {
    const signal = this.#signal(options);
    const message = await this.#send(name, { headers: beside(params) }, signal);
    const chunks = pieces(message, signal);
    return new Readable({
      read() {
        chunks.next().then(
          (next) => this.push(next.done === true ? null : next.value),
          (error: Error) => this.destroy(error),
        );
      },
      destroy(error, callback) {
        message.destroy();
        callback(error);
      },
    });
  }

  /** Sends bytes to a method. The daemon agrees before the first byte is sent; from then on the call is not repeated. */
  async upload<N extends MethodsOfKind<"upload">>(
    name: N,
    params: ParamsOf<N>,
    body: Readable,
    options: CallOptions = {},
  ): Promise<ResultOf<N>> {
    const headers = { ...beside(params), expect: "100-continue", "transfer-encoding": "chunked" };
    const signal = this.#signal(options);
    return (await readJson(await this.#send(name, { headers, upload: body }, signal), signal)) as ResultOf<N>;
  }

  /** Opens a stream of frames; the caller disposes it. An abort destroys it. */
  async stream<N extends MethodsOfKind<"stream">>(
    name: N,
    params: ParamsOf<N>,
    options: CallOptions = {},
  ): Promise<FrameSocket> {
    const signal = this.#signal(options);
    const { socket, head } = await this.#trying(name, signal, (headers) =>
      sendUpgrade(this.#socket, { name, headers: { ...headers, ...beside(params) }, signal }),
    );
    const frames = new FrameSocket(socket, head);
    const onAbort = () => frames[Symbol.dispose]();
    signal.addEventListener("abort", onAbort, { once: true });
    void frames.closed.then(() => signal.removeEventListener("abort", onAbort));
    return frames;
  }

  [Symbol.dispose](): void {
    this.#closed.abort(new BangerError("cancelled", "the client was closed"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
  }

  get #socket(): string {
    return this.#options.paths.daemonSocket;
  }

  #signal(options: CallOptions): AbortSignal {
    const signals = [this.#closed.signal, this.#options.signal, options.signal].filter((one) => one !== undefined);
    return AbortSignal.any(signals);
  }

  #send(name: MethodName, request: Partial<Request>, signal: AbortSignal): Promise<IncomingMessage> {
    const { upload } = request;
    const attempt = (headers: Record<string, string>) =>
      send(this.#socket, {
        ...request,
        name,
        headers: {
          ...headers,
          ...(request.body === undefined ? {} : { "content-type": "application/json" }),
          ...(request.body === undefined || readOnly.test(name) ? {} : { expect: "100-continue" }),
          ...request.headers,
        },
        signal,
      });
    // The next daemon would get what is left of it, and take that for the whole.
    return this.#trying(name, signal, attempt, () => upload?.readableDidRead !== true);
  }

  /**
   * Repeats a request after its reason to fail was mended: when the daemon has not begun with it, or when it changes nothing and the
   * daemon went away before it answered.
   */
  async #trying<T>(
    name: MethodName,
    signal: AbortSignal,
    attempt: (headers: Record<string, string>) => Promise<T>,
    mayRepeat: () => boolean = () => true,
  ): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await attempt(this.#headers());
      } catch (error) {
        if (tries >= maxTries || !mayRepeat()) throw error;
        if (isNotBegun(error) || (isLost(error) && readOnly.test(name)))
          await delay(lostPauseMs, undefined, { signal });
        else if (!(await this.#mended(error, signal))) throw error;
      }
    }
  }

  #headers(): Record<string, string> {
    const { version, builtAt } = this.#options.build;
    return {
      "banger-build": `${version} ${builtAt}`,
      ...(this.#acceptOutdated ? { "banger-accept-outdated": "1" } : {}),
    };
  }

  /** True when another try makes sense. */
  async #mended(thrown: unknown, signal: AbortSignal): Promise<boolean> {
    const { autoStart, daemonCommand, paths, onNotice } = this.#options;
    const error = toBangerError(thrown);
    const canStart = autoStart && daemonCommand !== undefined;
    if (isNotThere(error)) {
      if (!canStart) return false;
      const { startDaemon } = await import("./start.ts");
      const listener = async () =>
        ((await this.#plainCall(signal)("daemon.status", {})) as ResultOf<"daemon.status">).pid;
      await startDaemon({ paths, daemonCommand, env: this.#options.env ?? process.env, signal, listener });
      return true;
    }
    if (error.code === "daemon.shutting-down" && canStart) {
      const { untilGone } = await import("./replace.ts");
      await untilGone(this.#plainCall(signal), undefined, signal);
      return true;
    }
    if (error.code === "daemon.outdated") {
      const { stopOutdated } = await import("./replace.ts");
      const gone = canStart && (await stopOutdated(this.#plainCall(signal), Number(error.details?.["pid"]), signal));
      if (!gone) {
        this.#acceptOutdated = true;
        onNotice?.(
          `the running daemon (${String(error.details?.["version"])}) is older than this program and busy: it goes on for now`,
        );
      }
      return true;
    }
    return false;
  }

  #plainCall(signal: AbortSignal) {
    return async (name: "daemon.stop" | "daemon.status", headers: Record<string, string>): Promise<unknown> =>
      readJson(await send(this.#socket, { name, headers: { ...this.#headers(), ...headers }, body: "{}", signal }));
  }
}

function beside(params: unknown): Record<string, string> {
  return { "banger-params": Buffer.from(JSON.stringify(params)).toString("base64url") };
}
