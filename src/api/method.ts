// What a method of the daemon is. One table entry holds its schemas; server, client, OpenAPI file and docs are made from it.
import type * as v from "valibot";

/**
 * How a call travels:
 * - "unary": JSON in, JSON out.
 * - "operation": JSON in, an Operation out at once; watch it with operation.watch.
 * - "events": JSON in, NDJSON lines out until done or the client goes away.
 * - "download": JSON in (header `banger-params`), bytes out. "upload": JSON in that header, bytes in, JSON out.
 * - "stream": JSON in (header `banger-params`), then `Upgrade: banger-stream` and frames of api/frames.ts both ways.
 */
export type MethodKind = "unary" | "operation" | "events" | "download" | "upload" | "stream";

export interface Method<
  P extends v.GenericSchema = v.GenericSchema,
  R extends v.GenericSchema = v.GenericSchema,
  K extends MethodKind = MethodKind,
> {
  kind: K;
  /** One sentence for docs and the OpenAPI file. */
  summary: string;
  /** Unknown fields are refused. */
  params: P;
  /** Reply, each event line, or the operation's `result`. Unknown fields of a newer daemon are accepted. */
  result: R;
}

export function method<P extends v.GenericSchema, R extends v.GenericSchema, const K extends MethodKind>(
  definition: Method<P, R, K>,
): Method<P, R, K> {
  return definition;
}

export type Params<M extends Method> = v.InferInput<M["params"]>;
export type Result<M extends Method> = v.InferOutput<M["result"]>;
