// What comes in: the parameters of a call, bounded in size and time, checked against the method's schema.
import type { IncomingMessage } from "node:http";
import * as v from "valibot";
import type { Method } from "../api/method.ts";
import { BangerError } from "../lib/errors.ts";

/** Longest JSON body, and longest decoded `banger-params` header, in bytes. */
export const maxParamsBytes = 1024 * 1024;
const bodyTimeoutMs = 30_000;

/** Reads a JSON body; nothing at all means {}. Throws `request.too-large`, `request.invalid`, `timeout`. */
export async function readBody(request: IncomingMessage): Promise<unknown> {
  const tooLarge = () => new BangerError("request.too-large", `the request is longer than ${maxParamsBytes} bytes`);
  if (Number(request.headers["content-length"] ?? 0) > maxParamsBytes) throw tooLarge();
  const timer = setTimeout(
    () => request.destroy(new BangerError("timeout", `the request did not arrive within ${bodyTimeoutMs / 1000} s`)),
    bodyTimeoutMs,
  );
  try {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxParamsBytes) throw tooLarge();
      chunks.push(chunk);
    }
    return parseJson(Buffer.concat(chunks));
  } finally {
    clearTimeout(timer);
  }
}

/** Reads the parameters that travel beside a body or an upgrade: base64url of JSON in `banger-params`. */
export function readParamsHeader(request: IncomingMessage): unknown {
  const header = request.headers["banger-params"];
  if (header === undefined) return {};
  const bytes = Buffer.from(String(header), "base64url");
  if (bytes.length > maxParamsBytes) {
    throw new BangerError("request.too-large", `banger-params is longer than ${maxParamsBytes} bytes`);
  }
  return parseJson(bytes);
}

function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new BangerError("request.invalid", `the parameters are not JSON: ${(error as Error).message}`);
  }
}

/** Throws `request.invalid` with the first field that is wrong. */
export function checkParams(name: string, method: Method, params: unknown): unknown {
  // To the schemas an array is an object, too.
  if (Array.isArray(params)) throw new BangerError("request.invalid", `${name}: the parameters must be an object`);
  const checked = v.safeParse(method.params, params, { abortEarly: true });
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  const field = v.getDotPath(issue);
  throw new BangerError(
    "request.invalid",
    field === null ? `${name}: ${issue.message}` : `${name}: "${field}": ${issue.message}`,
    { details: { method: name, field } },
  );
}

/** `banger-build: <version> <builtAt>`; a client that does not say is never newer than the daemon. */
export function clientBuild(request: IncomingMessage): { version: string; builtAt: number } {
  const [version = "", builtAt = ""] = String(request.headers["banger-build"] ?? "").split(" ");
  return { version: version === "" ? "unknown" : version, builtAt: /^\d{1,15}$/.test(builtAt) ? Number(builtAt) : 0 };
}
