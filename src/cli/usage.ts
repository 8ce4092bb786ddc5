// What is wrong with a command line, in our words.
import {
  AliasNotFoundError,
  ArgumentParseError,
  EnumValidationError,
  FlagNotFoundError,
  UnexpectedFlagError,
  UnexpectedPositionalError,
  UnsatisfiedFlagError,
  UnsatisfiedPositionalError,
} from "@stricli/core";
import { BangerError } from "../lib/errors.ts";

/** A mistake in the command line: exit code 2. `usage` is the line that shows how it is written. */
export function usageError(message: string, usage: string, help: string): BangerError {
  return new BangerError("usage", message, { hint: help, details: { usage } });
}

/** The sentence for what the parser threw. */
export function describeParseError(error: unknown): string {
  if (error instanceof FlagNotFoundError) {
    return `unknown option "--${error.input}"${didYouMean(error.corrections.map((name) => `--${kebab(name)}`))}`;
  }
  if (error instanceof AliasNotFoundError) return `unknown option "-${error.input}"`;
  if (error instanceof UnsatisfiedFlagError) return `option "--${error.externalFlagName}" needs a value`;
  if (error instanceof UnexpectedFlagError) return `option "--${error.externalFlagName}" is given twice`;
  if (error instanceof UnexpectedPositionalError) return `unexpected argument "${error.input}"`;
  if (error instanceof UnsatisfiedPositionalError) return `missing argument <${error.placeholder}>`;
  if (error instanceof EnumValidationError) {
    return `"${error.input}" is not a value of "--${error.externalFlagName}": write ${error.values.join(", ")}`;
  }
  if (error instanceof ArgumentParseError) {
    const why = error.exception instanceof Error ? error.exception.message : String(error.exception);
    return why;
  }
  return error instanceof Error ? error.message : String(error);
}

/** `, did you mean "a" or "b"?`, or nothing. */
export function didYouMean(names: readonly string[]): string {
  return names.length === 0 ? "" : `, did you mean ${names.map((name) => `"${name}"`).join(" or ")}?`;
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
