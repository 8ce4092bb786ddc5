// One HTTP/2 session with one guest over one byte stream: opened once, never reconnected, without keep-alive pings.
// Knows how it ended, and turns failed calls into errors that say so.
import * as http2 from "node:http2";
import type { Duplex } from "node:stream";
import { createClient } from "@connectrpc/connect";
import type { Client } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { BangerError } from "../lib/errors.ts";
import { isViolation, printable, reasonOf, refusal } from "./failure.ts";
import type { FailureCodes } from "./failure.ts";
import { FrameGuard } from "./frame-guard.ts";
import { AgentService, FileService, PortService, ProcessService } from "./gen/banger/agent/v1/agent_pb.js";

const maxFrameBytes = 64 * 1024;
/** What one call may have under way towards us; with it, one unread call holds at most this much memory. */
const streamWindowBytes = 512 * 1024;
/** Room for 128 calls that nobody reads, so that one of them does not stop the others. */
const connectionWindowBytes = 64 * 1024 * 1024;
const maxUnaryReplyBytes = 4 * 1024 * 1024;
/** The agent sends 64 KiB at a time; the smaller the limit, the less a guest can make us gather. */
const maxStreamMessageBytes = 256 * 1024;

type Http2TransportOptions = Extract<Parameters<typeof createConnectTransport>[0], { httpVersion: "2" }>;
type SessionManager = NonNullable<Http2TransportOptions["sessionManager"]>;

/** How a session ended; `protocol` says that the guest broke the rules. */
export interface SessionEnd {
  reason: string;
  protocol: boolean;
}

/** The agent's services, for calls with bounded replies. `stream` methods belong to the last three. */
export interface GuestClients {
  agent: Client<typeof AgentService>;
  files: Client<typeof FileService>;
  fileStreams: Client<typeof FileService>;
  processes: Client<typeof ProcessService>;
  ports: Client<typeof PortService>;
}

export class GuestSession {
  readonly clients: GuestClients;
  /** Resolves when the session is over. Never rejects. */
  readonly closed: Promise<SessionEnd>;
  #end: SessionEnd | undefined;
  readonly #resolveClosed: (end: SessionEnd) => void;
  readonly #http: http2.ClientHttp2Session;

  /** Owns `channel`, on which the handshake is done. */
  constructor(channel: Duplex) {
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    const guard = new FrameGuard(channel, { maxFrameBytes });
    guard.on("error", (error) => this.#fail(error));
    this.#http = http2.connect("http://agent", {
      createConnection: () => guard,
      settings: { enablePush: false, initialWindowSize: streamWindowBytes, maxFrameSize: maxFrameBytes },
      maxSettings: 32,
      maxSessionMemory: 32,
    });
    this.#http.on("connect", () => this.#http.setLocalWindowSize(connectionWindowBytes));
    this.#http.on("error", (error) => this.#fail(error));
    this.#http.on("goaway", (code: number, _last: number, debug?: Buffer) => {
      const text = printable(debug?.toString("latin1") ?? "");
      this.close({ reason: `the agent ended the session (code ${code}) ${text}`.trimEnd(), protocol: false });
    });
    this.#http.on("close", () => this.close({ reason: "the guest's channel closed", protocol: false }));
    this.clients = this.#connect();
  }

  /** Ends the session and every call under way. The first reason stays. */
  close(end: SessionEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#http.destroy();
    this.#resolveClosed(end);
  }

  /**
   * The error of a failed call: the caller's cancellation, the end of the session, or the agent's words. A reply that breaks
   * the protocol ends the session.
   */
  failure(error: unknown, codes: FailureCodes, signal: AbortSignal): BangerError {
    if (signal.aborted) return reasonOf(signal);
    if (this.#end === undefined && isViolation(error)) {
      return this.violation(printable(error.rawMessage));
    }
    // The call may fail before the session's own event says why: then the channel is already gone.
    if (this.#end === undefined && this.#http.destroyed) {
      return new BangerError("guest.unreachable", "the session with the guest ended", { cause: error });
    }
    if (this.#end === undefined) return refusal(error, codes);
    return new BangerError(this.#end.protocol ? "guest.protocol" : "guest.unreachable", this.#end.reason);
  }

  /** The guest said something that the contract forbids: ends the session and returns the error to throw. */
  violation(what: string): BangerError {
    this.close({ reason: `the guest broke the protocol: ${what}`, protocol: true });
    return new BangerError("guest.protocol", this.#end?.reason ?? what);
  }

  #fail(error: Error): void {
    const code = (error as NodeJS.ErrnoException).code;
    const own = error instanceof BangerError && error.code === "guest.protocol";
    this.close({
      reason: own ? error.message : `the session with the guest failed: ${printable(error.message)}`,
      // nghttp2 reports input that it cannot accept under this code.
      protocol: own || code === "ERR_HTTP2_ERROR" || code === "ERR_HTTP2_TOO_MANY_INVALID_FRAMES",
    });
  }

  #connect(): GuestClients {
    const sessionManager: SessionManager = {
      authority: "http://agent",
      request: (method, path, headers, options) => this.#request(method, path, headers, options),
      notifyResponseByteRead: () => {},
    };
    const transport = (readMaxBytes: number) =>
      createConnectTransport({
        baseUrl: "http://agent",
        httpVersion: "2",
        sessionManager,
        useBinaryFormat: true,
        // No compression: the bytes stay on this machine, and nothing can grow while it is unpacked.
        acceptCompression: [],
        readMaxBytes,
      });
    const unary = transport(maxUnaryReplyBytes);
    const streaming = transport(maxStreamMessageBytes);
    return {
      agent: createClient(AgentService, unary),
      files: createClient(FileService, unary),
      fileStreams: createClient(FileService, streaming),
      processes: createClient(ProcessService, streaming),
      ports: createClient(PortService, streaming),
    };
  }

  async #request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: Omit<http2.ClientSessionRequestOptions, "signal">,
  ): Promise<http2.ClientHttp2Stream> {
    if (this.#end !== undefined) throw new BangerError("guest.unreachable", this.#end.reason);
    const stream = this.#http.request({ ...headers, ":method": method, ":path": path }, options);
    // Connect leaves the request's half open when the reply ends first; a guest could make us hold such streams for ever.
    stream.once("end", () => {
      if (!stream.closed) stream.close(http2.constants.NGHTTP2_NO_ERROR);
    });
    return stream;
  }
}
