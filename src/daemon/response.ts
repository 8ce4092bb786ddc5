// What goes out: JSON, NDJSON, bytes, errors. An error after the head was sent travels in the trailer `banger-error`.
import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { once } from "node:events";
import { toErrorBody, type ErrorBody } from "../lib/errors.ts";
import { httpStatus } from "./http-status.ts";

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { "content-type": "application/json", "content-length": body.length });
  response.end(body);
}

/** The error as the whole reply, or as the trailer of a reply that has begun. */
export function sendError(response: ServerResponse, error: ErrorBody): void {
  if (response.headersSent) {
    response.addTrailers({ "banger-error": Buffer.from(JSON.stringify(error)).toString("base64url") });
    response.end();
    return;
  }
  // Closing on a client that is still sending would reset the connection before it has read this.
  if (!response.req.complete) response.setHeader("connection", "keep-alive");
  sendJson(response, httpStatus(error.code), error);
}

/** The error that a client sees: always with the id of the request, unless it came from another operation. */
export function errorReply(thrown: unknown, requestId: string): ErrorBody {
  const body = toErrorBody(thrown);
  return { ...body, operation: body.operation ?? requestId };
}

/** One JSON line for each event, only as fast as the client takes them. */
export async function sendEvents(
  response: ServerResponse,
  events: AsyncIterable<unknown>,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of events) {
    // The head waits for the first event, so that an error before it is a plain error reply.
    if (!response.headersSent) begin(response, "application/x-ndjson");
    if (!response.write(`${JSON.stringify(event)}\n`)) await once(response, "drain", { signal });
  }
  // Events end quietly when they are told to end: their reader must not take that for the end.
  signal.throwIfAborted();
  if (!response.headersSent) begin(response, "application/x-ndjson");
  response.end();
}

/** A byte stream as the reply. The stream is destroyed at the end, whatever happens. */
export async function sendBytes(response: ServerResponse, bytes: Readable, signal: AbortSignal): Promise<void> {
  begin(response, "application/octet-stream");
  response.flushHeaders();
  const onAbort = () => bytes.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      if (!response.write(chunk)) await once(response, "drain", { signal });
    }
    // What ends early because it was told to is not the whole.
    signal.throwIfAborted();
    response.end();
  } finally {
    signal.removeEventListener("abort", onAbort);
    bytes.destroy();
  }
}

function begin(response: ServerResponse, contentType: string): void {
  response.writeHead(200, { "content-type": contentType, trailer: "banger-error" });
}
