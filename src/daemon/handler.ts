// The shape of a route: one handler for each method, typed by the method's kind and schemas.
import type { Readable } from "node:stream";
import type { FrameSocket } from "../api/frame-socket.ts";
import type { MethodName, Methods, ParamsOf, ResultOf } from "../api/methods.ts";
import type { Operation } from "../api/records.ts";
import type { Logger } from "../lib/log.ts";

export interface CallContext {
  /** Aborted when the client goes away before the reply is complete, and when the daemon is stopped by force. */
  signal: AbortSignal;
  log: Logger;
  /** The peer's `banger-build`; builtAt is 0 for a peer that did not say. */
  client: { version: string; builtAt: number };
  /** The daemon's pid that a client means, from `banger-daemon-pid`; undefined when it means any. */
  meantPid: number | undefined;
}

type Reply<T> = T | Promise<T>;

/** A handler of one kind of method. Streams that it returns are destroyed by the server. */
interface HandlerOfKind<P, R> {
  unary: (params: P, context: CallContext) => Reply<R>;
  operation: (params: P, context: CallContext) => Reply<Operation>;
  events: (params: P, context: CallContext) => AsyncIterable<R>;
  download: (params: P, context: CallContext) => Reply<Readable>;
  upload: (params: P, body: Readable, context: CallContext) => Reply<R>;
  stream: (params: P, socket: FrameSocket, context: CallContext) => Promise<void>;
}

export type Handler<N extends MethodName> = HandlerOfKind<ParamsOf<N>, ResultOf<N>>[Methods[N]["kind"]];

/** One handler for every method of the contract. */
export type Routes = { readonly [N in MethodName]: Handler<N> };

/** The routes of some methods: what one file of routes/ gives. */
export type RoutesOf<N extends MethodName> = { readonly [K in N]: Handler<K> };
