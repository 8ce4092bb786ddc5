// The one place where failures of a session with a guest become BangerErrors. What a guest says is shown to users, so it
// is cut and stripped of control characters here.
import { Code, ConnectError } from "@connectrpc/connect";
import { BangerError } from "../lib/errors.ts";
import type { ErrorCode } from "../lib/errors.ts";

const maxGuestTextCharacters = 2000;

/** Codes for one kind of call: what a "not found" of the agent means there, and what all its other refusals mean. */
export interface FailureCodes {
  notFound: ErrorCode;
  other: ErrorCode;
}

export const guestFailure: FailureCodes = { notFound: "guest.failed", other: "guest.failed" };
export const execFailure: FailureCodes = { notFound: "exec.not-found", other: "exec.failed" };
export const fileFailure: FailureCodes = { notFound: "file.not-found", other: "file.failed" };

/** Why a signal was aborted, as a BangerError: its own one when it has one, else `timeout` or `cancelled`. */
export function reasonOf(signal: AbortSignal): BangerError {
  const reason: unknown = signal.reason;
  if (reason instanceof BangerError) return reason;
  if (reason instanceof Error && reason.cause instanceof BangerError) return reason.cause;
  if (reason instanceof Error && reason.name === "TimeoutError") {
    return new BangerError("timeout", "the guest did not answer in time", { cause: reason });
  }
  return new BangerError("cancelled", "cancelled", reason === undefined ? {} : { cause: reason });
}

/** A guest's text, safe to print: no control characters but newline and tab, at most 2000 characters. */
export function printable(text: string): string {
  const clean = text
    .slice(0, maxGuestTextCharacters)
    .replace(/[\p{Cc}\p{Cf}]/gu, (character) => ("\n\t".includes(character) ? character : "\uFFFD"));
  return text.length > maxGuestTextCharacters ? `${clean}…` : clean;
}

const maxLabelCharacters = 200;

/** A guest's name for something, safe to print and to store: one line of at most 200 characters. */
export function label(text: string): string {
  return printable(text.slice(0, maxLabelCharacters)).replaceAll(/[\n\t]/g, "\uFFFD");
}

/** A guest's amount of something: what is no number of at least 0 is 0. */
export function finite(value: number): number {
  return Number.isFinite(value) && value >= 0 ? value : 0;
}

/** Says whether a failed call shows that the guest broke the protocol: nothing that it said itself, and no lost stream. */
export function isViolation(error: unknown): error is ConnectError {
  if (!(error instanceof ConnectError) || error.isWireError) return false;
  // Failures of streams and of the session carry Node's error as their cause, or the code of a reset stream in their text.
  if (error.cause instanceof Error || error.rawMessage.startsWith("http/2 stream closed")) return false;
  // An agent without that service: Connect turns the HTTP status into a code.
  if (/^HTTP \d+$/.test(error.rawMessage)) return false;
  return error.code !== Code.Canceled && error.code !== Code.DeadlineExceeded;
}

/** The agent's own words as an error of the right kind; a broken call (reset stream) is told as such. */
export function refusal(error: unknown, codes: FailureCodes): BangerError {
  if (error instanceof BangerError) return error;
  if (!(error instanceof ConnectError)) {
    const message = error instanceof Error ? error.message : String(error);
    return new BangerError("internal", `call to the guest failed: ${message}`, { cause: error });
  }
  if (!error.isWireError) {
    return new BangerError(codes.other, `the guest's agent dropped the call: ${printable(error.rawMessage)}`, {
      cause: error,
    });
  }
  const text = printable(error.rawMessage) || `the guest's agent failed with code ${error.code}`;
  return new BangerError(error.code === Code.NotFound ? codes.notFound : codes.other, text);
}
