// One HTTP/2 session with one guest over one byte stream: opened once, never reconnected, without keep-alive pings.
// Knows how it ended, and turns failed calls into errors that say so.
import * as http2 from "node:http2";
import type { Duplex } from "node:stream";
import { ConnectError, createClient } from "@connectrpc/connect";
import type { Client } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { BangerError } from "../lib/errors.ts";
import { isViolation, printable, reasonOf, refusal } from "./failure.ts";
import type { FailureCodes } from "./failure.ts";
import { FrameGuard } from "./frame-guard.ts";
import { adapt } from "./http-stream.ts";
import { oneReply } from "./one-reply.ts";
import {
  AgentService,
  FileService,
  InspectService,
  PortService,
  ProcessService,
  WorkspaceService,
} from "./gen/banger/agent/v1/agent_pb.js";

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

/** The agent's services, for calls with bounded replies. Those that stream have smaller replies. */
export interface GuestClients {
  agent: Client<typeof AgentService>;
  files: Client<typeof FileService>;
  fileStreams: Client<typeof FileService>;
  processes: Client<typeof ProcessService>;
  ports: Client<typeof PortService>;
  inspect: Client<typeof InspectService>;
  workspaces: Client<typeof WorkspaceService>;
  inspectStreams: Client<typeof InspectService>;
}

export class GuestSession {
  readonly clients: GuestClients;
  /** Resolves when the session is over. Never rejects. */
  readonly closed: Promise<SessionEnd>;
  #end: SessionEnd | undefined;
  /** What calls fail with, when it is known better than by the channel. */
  #why: BangerError | undefined;
  #askWhy: () => Promise<BangerError | undefined> = async () => undefined;
  readonly #resolveClosed: (end: SessionEnd) => void;
  readonly #http: http2.ClientHttp2Session;

  /** Owns `channel`, on which the handshake is done. */
  constructor(channel: Duplex) {
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    const guard = new FrameGuard(channel, { maxFrameBytes });
    guard.on("error", (error: Error) => this.#fail(error));
    this.#http = http2.connect("http://agent", {
      createConnection: () => guard,
      settings: { enablePush: false, initialWindowSize: streamWindowBytes, maxFrameSize: maxFrameBytes },
      maxSettings: 32,
      maxSessionMemory: 32,
    });
    // The HTTP/2 library destroys its session when it cannot accept what the guest sent, but says so only when the channel
    // is closed, which a guest that reads nothing could put off for ever.
    const destroy = this.#http.destroy.bind(this.#http) as (...args: unknown[]) => void;
    Object.defineProperty(this.#http, "destroy", {
      value: (error?: unknown, code?: number) => {
        if (error instanceof Error) this.#fail(error);
        destroy(error, code);
        guard.destroy();
      },
    });
    // A caller that gave up before this has destroyed it.
    this.#http.on("connect", () => {
      if (!this.#http.destroyed) this.#http.setLocalWindowSize(connectionWindowBytes);
    });
    this.#http.on("error", (error: Error) => this.#fail(error));
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
    // With this code the calls under way fail; with the default some would wait for ever.
    this.#http.destroy(undefined, http2.constants.NGHTTP2_CANCEL);
    this.#resolveClosed(end);
  }

  /** Ends the session; calls under way fail with this error, also when it has ended by itself a moment before. */
  end(why: BangerError): void {
    this.#why ??= why;
    this.close({ reason: why.message, protocol: false });
  }

  /** How to learn why the channel broke: asked then. */
  whenLost(why: () => Promise<BangerError | undefined>): void {
    this.#askWhy = why;
  }

  /**
   * The error of a failed call: the caller's cancellation, the end of the session, or the agent's words. A reply that breaks
   * the protocol ends the session.
   */
  async failure(error: unknown, codes: FailureCodes, signal: AbortSignal): Promise<BangerError> {
    if (signal.aborted) return reasonOf(signal);
    if (!(error instanceof ConnectError && error.isWireError)) {
      // A call may fail before the event that says why the session does.
      await new Promise(setImmediate);
      if (this.#http.destroyed) await this.closed;
    }
    if (this.#end?.protocol === true) return new BangerError("guest.protocol", this.#end.reason);
    if (this.#end !== undefined) {
      return this.#why ?? (await this.#askWhy()) ?? new BangerError("guest.unreachable", this.#end.reason);
    }
    return isViolation(error) ? this.violation(printable(error.rawMessage)) : refusal(error, codes);
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
        interceptors: [oneReply],
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
      inspect: createClient(InspectService, unary),
      workspaces: createClient(WorkspaceService, unary),
      inspectStreams: createClient(InspectService, streaming),
    };
  }

  async #request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: Omit<http2.ClientSessionRequestOptions, "signal">,
  ): Promise<http2.ClientHttp2Stream> {
    if (this.#end !== undefined) throw new BangerError("guest.unreachable", this.#end.reason);
    return adapt(this.#http.request({ ...headers, ":method": method, ":path": path }, options));
  }
}
