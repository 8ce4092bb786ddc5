// Calls that send many requests and get one reply: Connect's client reads all replies before it finds that there are several, so that a
// guest could keep the daemon busy with empty ones for as long as it likes.
import { Code, ConnectError } from "@connectrpc/connect";
import type { Interceptor } from "@connectrpc/connect";

/** Fails such a call at its second reply, as a violation of the protocol. */
export const oneReply: Interceptor = (next) => async (request) => {
  const response = await next(request);
  if (!response.stream || response.method.methodKind !== "client_streaming") return response;
  return { ...response, message: only(response.message) };
};

async function* only<T>(replies: AsyncIterable<T>): AsyncGenerator<T> {
  let seen = false;
  for await (const reply of replies) {
    if (seen) throw new ConnectError("several replies where one belongs", Code.Unimplemented);
    seen = true;
    yield reply;
  }
}
