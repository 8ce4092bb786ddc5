// One verb on several things at once: looked up first, done in parallel, reported in the order they were named.
import { BangerError, type ErrorBody, toErrorBody } from "../lib/errors.ts";
import type { CliContext } from "./context.ts";
import { renderError } from "./output/errors.ts";

export interface TargetVerb<T> {
  /** Finds the thing that a word names; its id tells whether two words name the same thing. */
  find: (reference: string) => Promise<T & { id: string; name: string }>;
  /** Does the work; what it returns is the JSON output. */
  act: (target: T & { id: string; name: string }) => Promise<unknown>;
}

interface Outcome {
  reference: string;
  id: string | undefined;
  name: string;
  value?: unknown;
  error?: unknown;
}

/**
 * Runs `verb` on each distinct target; one that is missing or fails does not hold up the others.
 * stdout: the names that succeeded, or with --json an array of what `act` returned. The exit code is 1 when any failed.
 */
export async function forTargets<T>(
  context: CliContext,
  references: readonly string[],
  verb: TargetVerb<T>,
): Promise<void> {
  const found = await Promise.allSettled(references.map((reference) => verb.find(reference)));
  const seen = new Set<string>();
  const work: Promise<Outcome>[] = [];
  for (const [at, result] of found.entries()) {
    const reference = references[at] as string;
    if (result.status === "rejected") {
      // The same missing name twice is one mistake.
      if (!seen.has(`missing ${reference}`)) {
        work.push(Promise.resolve({ reference, id: undefined, name: reference, error: result.reason as unknown }));
      }
      seen.add(`missing ${reference}`);
      continue;
    }
    const target = result.value;
    if (seen.has(target.id)) continue;
    seen.add(target.id);
    work.push(
      verb.act(target).then(
        (value) => ({ reference, id: target.id, name: target.name, value }),
        (error: unknown) => ({ reference, id: target.id, name: target.name, error }),
      ),
    );
  }
  report(context, await Promise.all(work));
}

function report(context: CliContext, outcomes: readonly Outcome[]): void {
  const { terminal } = context;
  const failed = outcomes.filter((outcome) => outcome.error !== undefined);
  const done = outcomes.filter((outcome) => outcome.error === undefined);
  if (terminal.json) terminal.printJson(done.map((outcome) => outcome.value));
  else for (const outcome of done) terminal.print(terminal.quiet ? (outcome.id ?? outcome.name) : outcome.name);
  if (failed.length === 0) return;
  context.exitCode = 1;
  if (!terminal.json) {
    for (const outcome of failed) renderError(outcome.error, terminal);
    return;
  }
  const failures = failed.map((outcome): { target: string; error: ErrorBody } => ({
    target: outcome.reference,
    error: toErrorBody(outcome.error),
  }));
  renderError(failures.length === 1 ? failed[0]?.error : joined(failures), terminal);
}

/** One error for several failures: the first one's code, all of them in its details. */
function joined(failures: readonly { target: string; error: ErrorBody }[]): BangerError {
  const first = failures[0]?.error as ErrorBody;
  return new BangerError(
    first.code,
    `${failures.length} failed: ${failures.map(({ error }) => error.message).join("; ")}`,
    {
      details: { failures },
    },
  );
}
