// The one error type of the project and its closed set of codes. Thrown for whatever a user can cause or mend;
// anything else that escapes is a bug and becomes "internal" at the edge that catches it.

/** Every code that can reach a user, over both wires and in `--json`. Codes are only ever added. */
export const errorCodes = [
  "usage",
  "internal",
  "cancelled",
  "timeout",
  "config.invalid",
  "config.unreadable",
  "daemon.unreachable",
  "daemon.start-failed",
  "daemon.outdated",
  "daemon.busy",
  "daemon.shutting-down",
  "request.invalid",
  "request.unknown-method",
  "request.too-large",
  "state.newer",
  "state.unreadable",
  "vm.not-found",
  "vm.ambiguous",
  "vm.name-taken",
  "vm.name-invalid",
  "vm.spec-invalid",
  "vm.wrong-state",
  "vm.broken",
  "vm.boot-failed",
  "vm.boot-timeout",
  "vmm.failed",
  "vmm.missing",
  "guest.unreachable",
  "guest.protocol",
  "guest.failed",
  "exec.not-found",
  "exec.failed",
  "file.not-found",
  "file.failed",
  "snapshot.not-found",
  "snapshot.ambiguous",
  "snapshot.name-taken",
  "snapshot.failed",
  "snapshot.incompatible",
  "template.not-found",
  "template.failed",
  "port.in-use",
  "port.failed",
  "network.missing",
  "network.failed",
  "network.policy-invalid",
  "network.off",
  "network.not-found",
  "network.in-use",
  "secret.not-found",
  "secret.invalid",
  "secret.failed",
  "image.not-found",
  "image.ambiguous",
  "image.exists",
  "image.in-use",
  "image.invalid",
  "image.build-failed",
  "image.reference-invalid",
  "kernel.not-found",
  "kernel.ambiguous",
  "kernel.exists",
  "kernel.in-use",
  "kernel.invalid",
  "kernel.fetch-failed",
  "registry.unreachable",
  "registry.denied",
  "registry.failed",
  "workspace.not-a-repository",
  "workspace.failed",
  "workspace.none",
  "workspace.changed",
  "workspace.refused",
  "workspace.conflict",
  "workspace.tools-missing",
  "operation.not-found",
  "operation.interrupted",
  "command.failed",
  "command.missing",
  "disk.full",
  "disk.read-only",
  "host.open-files",
  "ssh.failed",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** What an error looks like on the wires, in logs and in `--json`: the same fields everywhere. */
export interface ErrorBody {
  code: ErrorCode;
  /** What failed, on which thing, why: one lower-case sentence without a full stop. */
  message: string;
  /** A command that mends it, ready to paste. */
  hint?: string;
  /** Messages of the causes, outermost first, at most 8. */
  causes?: string[];
  /** Facts for programs: small, JSON only, never secret. */
  details?: Record<string, unknown>;
  /** Operation under which it happened; the daemon's log has the same id. */
  operation?: string;
}

export interface BangerErrorOptions {
  hint?: string;
  cause?: unknown;
  details?: Record<string, unknown>;
  operation?: string;
}

export class BangerError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Record<string, unknown> | undefined;
  operation: string | undefined;
  /** Causes that crossed a wire as text; empty for local errors, whose chain is in `cause`. */
  readonly remoteCauses: readonly string[];

  constructor(
    code: ErrorCode,
    message: string,
    options: BangerErrorOptions & { remoteCauses?: readonly string[] } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "BangerError";
    this.code = code;
    this.hint = options.hint;
    this.details = options.details;
    this.operation = options.operation;
    this.remoteCauses = options.remoteCauses ?? [];
  }
}

function suppressed({ error, suppressed: failure }: SuppressedError): BangerError {
  return toBangerError(withUndoErrors(failure, [error]));
}

/** The failure with what could not be undone after it, under its own code; the failure itself when there is nothing. */
export function withUndoErrors(failure: unknown, left: readonly unknown[]): unknown {
  if (left.length === 0) return failure;
  const { code, details, hint, message } = toBangerError(failure);
  const also = left.map((error) => toBangerError(error).message).join("; ");
  return new BangerError(code, `${message}; and not all of it could be undone: ${also}`, {
    cause: new AggregateError([failure, ...left], "a failure, and what could not be undone after it"),
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
  });
}

/** Turns anything thrown into a BangerError; what is not one already is a bug and gets the code "internal". */
export function toBangerError(thrown: unknown): BangerError {
  if (thrown instanceof BangerError) return thrown;
  // Of `using`: a failure, and another one while what it left was disposed of.
  if (thrown instanceof SuppressedError) return suppressed(thrown);
  const code = (thrown as NodeJS.ErrnoException | undefined)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return diskFull(`no space left on the disk (${(thrown as Error).message})`, thrown);
  }
  if (code === "EROFS") {
    return new BangerError("disk.read-only", `a file system cannot be written to (${(thrown as Error).message})`, {
      cause: thrown,
      hint: "grep ' ro[ ,]' /proc/self/mounts  # then make it writable, or set BANGER_HOME",
    });
  }
  if (code === "EMFILE" || code === "ENFILE") {
    return new BangerError("host.open-files", `too many files are open (${(thrown as Error).message})`, {
      cause: thrown,
      hint: "banger vm list  # then stop some; or with more allowed: ulimit -n 65536; banger daemon stop",
    });
  }
  if (thrown instanceof Error && thrown.name === "AbortError") {
    return thrown.cause instanceof BangerError
      ? thrown.cause
      : new BangerError("cancelled", "cancelled", { cause: thrown });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new BangerError("internal", message, { cause: thrown });
}

/** The error of a full disk, with what helps. */
export function diskFull(message: string, cause?: unknown): BangerError {
  return new BangerError("disk.full", message, {
    cause,
    hint: "banger image list  # then: banger image delete <image>, banger image cache prune, or free space on the disk",
  });
}

/** `disk.full` with this message when that is why it failed, said by the kernel or by a tool; else the error itself. */
export function asDiskFull(error: unknown, message: string): unknown {
  const full =
    error instanceof BangerError
      ? /No space left on device|Disk quota exceeded/.test(error.message)
      : ["ENOSPC", "EDQUOT"].includes(String((error as NodeJS.ErrnoException | undefined)?.code));
  return full ? diskFull(message, error) : error;
}

/** The wire form. Stacks never leave the process. */
export function toErrorBody(thrown: unknown): ErrorBody {
  const error = toBangerError(thrown);
  const causes = [...causeMessages(error), ...error.remoteCauses].slice(0, 8);
  return {
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(causes.length === 0 ? {} : { causes }),
    ...(error.details === undefined ? {} : { details: error.details }),
    ...(error.operation === undefined ? {} : { operation: error.operation }),
  };
}

/** The inverse of toErrorBody, on the receiving side of a wire. An unknown code of a newer peer becomes "internal". */
export function fromErrorBody(body: ErrorBody): BangerError {
  const code = errorCodes.includes(body.code) ? body.code : "internal";
  return new BangerError(code, body.message, {
    ...(body.hint === undefined ? {} : { hint: body.hint }),
    ...(body.details === undefined ? {} : { details: body.details }),
    ...(body.operation === undefined ? {} : { operation: body.operation }),
    remoteCauses: body.causes ?? [],
  });
}

function causeMessages(error: Error): string[] {
  const messages: string[] = [];
  let last = error.message;
  for (let cause = error.cause; cause instanceof Error && messages.length < 8; cause = cause.cause) {
    if (!last.includes(cause.message)) messages.push(cause.message);
    last = cause.message;
  }
  return messages;
}
