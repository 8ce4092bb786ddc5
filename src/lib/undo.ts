// Undoing what a failed step has made, so that neither the failure nor what went wrong while undoing it is lost.
import { withUndoErrors } from "./errors.ts";

/**
 * Runs all steps, one after the other, whatever each of them throws. Resolves with what the caller is to throw: the failure itself, or
 * one of the same code that says what could not be undone, too. Never rejects.
 */
export async function undone(failure: unknown, ...steps: readonly (() => unknown)[]): Promise<unknown> {
  const left: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      left.push(error);
    }
  }
  return withUndoErrors(failure, left);
}
