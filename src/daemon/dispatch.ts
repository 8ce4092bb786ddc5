// One call from its head to its reply: id, gate, parameters, handler by kind, error, log line.
import type { IncomingMessage, ServerResponse } from "node:http";
import { PassThrough, type Duplex } from "node:stream";
import { FrameSocket } from "../api/frame-socket.ts";
import { frameType } from "../api/frames.ts";
import type { Method } from "../api/method.ts";
import { methods, type MethodName } from "../api/methods.ts";
import { BangerError, toErrorBody } from "../lib/errors.ts";
import { newOperationId } from "../lib/ids.ts";
import { withOperation, type Logger } from "../lib/log.ts";
import type { Gate } from "./gate.ts";
import type { CallContext, Handler, Routes } from "./handler.ts";
import { httpStatus } from "./http-status.ts";
import { checkParams, clientBuild, readBody, readParamsHeader } from "./request.ts";
import { errorReply, sendBytes, sendError, sendEvents, sendJson } from "./response.ts";
import type { Sessions } from "./sessions.ts";

export interface DispatchOptions {
  routes: Routes;
  gate: Gate;
  sessions: Sessions;
  log: Logger;
}

interface Call {
  id: string;
  name: MethodName;
  method: Method;
  context: CallContext;
}

const clientGone = () => new BangerError("cancelled", "the client went away");

/** Serves calls; every one of them ends with a reply and a log line, and none of them throws. */
export class Dispatcher {
  readonly #options: DispatchOptions;

  constructor(options: DispatchOptions) {
    this.#options = options;
  }

  /** A call that is answered over plain HTTP. */
  async request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const controller = new AbortController();
    response.once("close", () => {
      if (!response.writableFinished) controller.abort(clientGone());
    });
    // A connection that breaks is seen by the "close" above.
    request.on("error", () => {});
    await this.#serve(request, controller, {
      begin: (id) => void response.setHeader("banger-operation", id),
      call: (call) => this.#answer(call, request, response, controller),
      fail: (error, id) => sendError(response, errorReply(error, id)),
    });
  }

  /** A call that becomes a stream of frames. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const controller = new AbortController();
    socket.on("error", () => {});
    socket.once("close", () => controller.abort(clientGone()));
    let frames: FrameSocket | undefined;
    await this.#serve(request, controller, {
      begin: () => {},
      call: async (call) => {
        if (call.method.kind !== "stream") {
          throw new BangerError("request.invalid", `${call.name} is not a stream: call it without an upgrade`);
        }
        const params = checkParams(call.name, call.method, readParamsHeader(request));
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: banger-stream\r\nbanger-operation: ${call.id}\r\n\r\n`,
        );
        frames = new FrameSocket(socket, head);
        const handler = this.#options.routes[call.name] as Handler<"vm.exec">;
        using _session = this.#options.sessions.open(controller);
        await handler(params as never, frames, call.context);
        frames.end();
      },
      fail: (error, id) => {
        const body = errorReply(error, id);
        if (frames === undefined) socket.end(rawError(body, id));
        else {
          frames.sendJson(frameType.error, body);
          frames.end();
        }
      },
    });
  }

  /** What both ways share. */
  async #serve(
    request: IncomingMessage,
    controller: AbortController,
    ways: {
      begin: (id: string) => void;
      call: (call: Call) => Promise<void>;
      fail: (error: unknown, id: string) => void;
    },
  ): Promise<void> {
    const id = newOperationId();
    const { log } = this.#options;
    await withOperation(id, async () => {
      const started = performance.now();
      let outcome = "ok";
      let detail: unknown;
      try {
        ways.begin(id);
        const name = methodName(request);
        this.#options.gate.check(name, request);
        const pid = Number(request.headers["banger-daemon-pid"] ?? Number.NaN);
        const context: CallContext = {
          signal: controller.signal,
          log,
          client: clientBuild(request),
          meantPid: Number.isSafeInteger(pid) ? pid : undefined,
        };
        await ways.call({ id, name, method: methods[name], context });
      } catch (thrown) {
        // An abort surfaces in many shapes; its reason says what happened.
        const error: unknown = controller.signal.aborted ? controller.signal.reason : thrown;
        outcome = toErrorBody(error).code;
        detail = error;
        ways.fail(error, id);
      }
      const fields = {
        method: request.url?.slice(4, 64),
        outcome,
        durationMs: Math.round(performance.now() - started),
      };
      if (outcome === "internal") log.error("call", { ...fields, error: detail });
      else log.info("call", fields);
    });
  }

  #session(name: MethodName, kind: Method["kind"], controller: AbortController): Disposable | undefined {
    const { sessions } = this.#options;
    if (kind === "download" || kind === "upload" || name === "vm.hold") return sessions.open(controller);
    // Who watches an operation is told by its last state.
    return kind === "events" && name !== "operation.watch" ? sessions.watch(controller) : undefined;
  }

  async #answer(
    { name, method, context }: Call,
    request: IncomingMessage,
    response: ServerResponse,
    controller: AbortController,
  ): Promise<void> {
    const beside = method.kind === "download" || method.kind === "upload";
    const agree = () => void (request.headers.expect !== undefined && response.writeContinue());
    if (!beside) agree();
    const params = checkParams(name, method, beside ? readParamsHeader(request) : await readBody(request)) as never;
    using _session = this.#session(name, method.kind, controller);
    const handler = this.#options.routes[name];
    switch (method.kind) {
      case "unary":
      case "operation":
        sendJson(response, 200, await (handler as Handler<"vm.show" | "vm.start">)(params, context));
        return;
      case "events":
        await sendEvents(response, (handler as Handler<"vm.hold">)(params, context), context.signal);
        return;
      case "download":
        await sendBytes(response, await (handler as Handler<"vm.logs">)(params, context), context.signal);
        return;
      case "upload":
        agree();
        sendJson(
          response,
          200,
          await withBody(request, (body) => (handler as Handler<"vm.unpack">)(params, body, context)),
        );
        return;
      case "stream":
        throw new BangerError("request.invalid", `${name} is a stream: call it with "Upgrade: banger-stream"`);
    }
  }
}

/**
 * Hands the body of a request on. A handler that fails destroys what it reads from; the request itself must live, as destroying it
 * would cut the connection before the client has read why. What the client still sends is dropped then.
 */
async function withBody<T>(request: IncomingMessage, handle: (body: PassThrough) => T | Promise<T>): Promise<T> {
  const body = new PassThrough();
  try {
    return await handle(request.pipe(body));
  } finally {
    request.unpipe(body).resume();
    body.destroy();
  }
}

/** Throws `request.unknown-method`. */
function methodName(request: IncomingMessage): MethodName {
  const path = request.url ?? "";
  const name = path.startsWith("/v1/") ? path.slice(4) : "";
  if (request.method !== "POST" || !Object.hasOwn(methods, name)) {
    throw new BangerError(
      "request.unknown-method",
      `"${request.method} ${path.slice(0, 100)}" is not a method: write POST /v1/<method>`,
    );
  }
  return name as MethodName;
}

/** An error reply on a connection that has left HTTP handling. */
export function rawError(body: ReturnType<typeof errorReply>, id: string): string {
  const json = JSON.stringify(body);
  return (
    `HTTP/1.1 ${httpStatus(body.code)} Error\r\ncontent-type: application/json\r\nbanger-operation: ${id}\r\n` +
    `content-length: ${Buffer.byteLength(json)}\r\nconnection: close\r\n\r\n${json}`
  );
}
