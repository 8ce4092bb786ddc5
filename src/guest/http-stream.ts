// Makes Node's HTTP/2 streams safe for Connect's client, which trusts the server and the order of events more than a guest
// deserves. All of it was seen with Node 24.21 and connect-node 2.2 over a stream that is not a socket.
import { constants } from "node:http2";
import type { ClientHttp2Stream } from "node:http2";
import { addAbortSignal } from "node:stream";

/** Changes a stream in place, before anybody else uses it. */
export function adapt(stream: ClientHttp2Stream): ClientHttp2Stream {
  // Node's own iterator fails with "Premature close" when the reply was complete before the iteration began, because
  // `closed` of an HTTP/2 stream is true from the last frame on, read or not.
  Object.defineProperty(stream, Symbol.asyncIterator, { value: () => chunksOf(stream) });

  // A write after the guest has closed the stream would destroy it, with what it still has to be read. Left unanswered,
  // the writer waits until the call is over.
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  Object.defineProperty(stream, "write", {
    value: (...args: unknown[]) => (stream.closed || stream.writableEnded ? false : write(...args)),
  });

  // Node ends a stream cleanly before it resets it: the agent would take what it has got for the whole and keep it.
  const close = stream.close.bind(stream);
  const cancel = new AbortController();
  addAbortSignal(cancel.signal, stream);
  Object.defineProperty(stream, "close", {
    value: (code?: number, onClose?: () => void) => {
      if (code === undefined || code === constants.NGHTTP2_NO_ERROR) return close(code, onClose);
      if (onClose !== undefined) stream.once("close", onClose);
      cancel.abort();
    },
  });

  // Connect leaves the request's half open when the reply ends first: a guest could make us hold such streams for ever.
  // Not at once, because whoever reads the stream has yet to learn of its end.
  stream.once("end", () =>
    setImmediate(() => {
      if (!stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
    }),
  );

  // Connect waits for ever for a stream that is reset with NO_ERROR and without an answer.
  let answered = false;
  stream.once("response", () => (answered = true));
  stream.once("close", () => {
    if (!answered) stream.emit("error", new Error("the stream closed without an answer"));
  });
  return stream;
}

async function* chunksOf(stream: ClientHttp2Stream): AsyncGenerator<Buffer, void, undefined> {
  let wake = () => {};
  let failure: Error | undefined;
  const onEvent = () => wake();
  const onError = (error: Error) => {
    failure = error;
    wake();
  };
  stream.on("readable", onEvent).on("end", onEvent).on("close", onEvent).on("error", onError);
  try {
    for (;;) {
      const chunk = stream.destroyed ? null : (stream.read() as Buffer | null);
      if (chunk !== null) {
        yield chunk;
        continue;
      }
      if (stream.readableEnded) return;
      const error = failure ?? stream.errored;
      if (error !== null) throw error;
      if (stream.destroyed) throw new Error("the stream closed before its end", { cause: stream.rstCode });
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      await promise;
    }
  } finally {
    // The listener for errors stays: a late error must not end the process.
    stream.off("readable", onEvent).off("end", onEvent).off("close", onEvent);
  }
}
