// Errors of talking to a registry: one converter for connections that fail and one for answers that are errors.
import { BangerError } from "../lib/errors.ts";

const longestWords = 300;

/** Text of a stranger for one line of ours: control characters and direction marks out, bounded. */
export function plainWords(text: string, longest = longestWords): string {
  const plain = text
    .slice(0, longest * 4)
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu, " ")
    .replaceAll(/\s+/g, " ")
    .trim();
  return plain.length > longest ? `${plain.slice(0, longest)}…` : plain;
}

/** What an error body of a registry says: its codes and messages, or undefined when it says nothing that can be read. */
export function errorWords(body: Buffer): string | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
  const { errors, details, message } = (parsed ?? {}) as { errors?: unknown; details?: unknown; message?: unknown };
  const list: unknown[] = Array.isArray(errors) ? errors.slice(0, 3) : [{ message: details ?? message }];
  const words = list.flatMap((entry) => {
    const { code, message: said } = (entry ?? {}) as { code?: unknown; message?: unknown };
    const parts = [code, said].filter((part) => typeof part === "string" && part !== "");
    return parts.length === 0 ? [] : [parts.join(": ")];
  });
  const text = plainWords(words.join("; "));
  return text === "" ? undefined : text;
}

/** Codes of connections that may work when they are tried again. */
const passing = new Set([
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
  "ENETDOWN",
  "ECONNABORTED",
  "HPE_INVALID_EOF_STATE",
]);

/** Marks errors after which the same request may be sent again. */
const again = new WeakSet<Error>();

/** True when the same request may succeed when it is sent again. */
export function isPassing(error: unknown): boolean {
  return error instanceof Error && again.has(error);
}

/** An error after which the same request may be sent again. */
export function passingFailure(host: string, why: string, cause?: unknown): BangerError {
  return markPassing(new BangerError("registry.unreachable", `cannot fetch from "${host}": ${why}`, { cause }));
}

/** The error, as one after which the same request may be sent again. */
export function markPassing<T extends Error>(error: T): T {
  again.add(error);
  return error;
}

/** The error of a connection that failed. A BangerError is passed on as it is. */
export function connectionFailure(host: string, thrown: unknown): BangerError {
  if (thrown instanceof BangerError) return thrown;
  const { code = "" } = (thrown ?? {}) as NodeJS.ErrnoException;
  const message = thrown instanceof Error ? plainWords(thrown.message) : "the connection failed";
  if (passing.has(code)) {
    return passingFailure(host, code === "ECONNRESET" ? "the connection was cut" : message, thrown);
  }
  const hint = hintFor(code, message);
  return new BangerError("registry.unreachable", `cannot connect to "${host}": ${explain(code, message)}`, {
    // The words of the TLS library say the same, in a way that only its authors read.
    ...(isPlain(code, message) ? {} : { cause: thrown }),
    ...(hint === undefined ? {} : { hint }),
    details: { host, code },
  });
}

function hintFor(code: string, message: string): string | undefined {
  if (isUnknownIssuer(code)) return "banger daemon stop; export NODE_EXTRA_CA_CERTS=/path/to/ca.pem  # then try again";
  if (isPlain(code, message)) return "repeat with --insecure  # it allows plain HTTP: in networks that you trust";
  return undefined;
}

/** Something that is no TLS came in answer to a TLS greeting. */
const isPlain = (code: string, message: string) =>
  code === "ERR_SSL_WRONG_VERSION_NUMBER" || (code === "EPROTO" && /wrong version number|packet length/.test(message));

/** A certificate that is one of somebody, whom nobody here knows: not one of another host, or an old one. */
const isUnknownIssuer = (code: string) => /ISSUER|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code);

const isCertificate = (code: string) => /CERT|ISSUER|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code);

function explain(code: string, message: string): string {
  if (code === "ECONNREFUSED") return "nothing listens there";
  if (code === "ENOTFOUND") return "there is no host of that name";
  if (isCertificate(code)) return `its certificate is not trusted (${message})`;
  if (isPlain(code, message)) return "it does not speak HTTPS";
  return message;
}
