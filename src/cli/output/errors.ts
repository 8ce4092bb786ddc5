// Errors as the user sees them: one object with --json, lines on stderr otherwise. An operation's id is left out where it leads nowhere.
import { type ErrorBody, toErrorBody } from "../../lib/errors.ts";
import { printable, printableJson, printableLine } from "./sanitise.ts";
import type { Terminal } from "./terminal.ts";

/** What the words on the command line asked for cannot be: the message says it all, and no log says more. */
const mistake =
  /\.(?:not-found|ambiguous|name-taken|(?:name-|spec-)?invalid|wrong-state|exists|in-use|not-a-repository)$/;

/** Writes one error to stderr. `debug` adds the stacks. */
export function renderError(thrown: unknown, terminal: Terminal, debug = false): void {
  const body = toErrorBody(thrown);
  if (terminal.json) {
    terminal.report(printableJson({ error: body }));
  } else {
    for (const line of errorLines(body, terminal)) terminal.report(line);
  }
  if (debug && thrown instanceof Error) terminal.report(stackText(thrown));
}

/** What stands in place of an error when the user ended the command: that is no failure to explain. */
export function renderInterrupt(thrown: unknown, terminal: Terminal): void {
  if (terminal.json) return renderError(thrown, terminal);
  terminal.report("banger: interrupted");
  const { hint } = toErrorBody(thrown);
  if (hint !== undefined) terminal.report(`banger: hint: ${printableLine(hint)}`);
}

function errorLines(body: ErrorBody, terminal: Terminal): string[] {
  // A message may carry the end of a tool's output: its further lines stand indented below the first.
  const message = printable(`${body.message} (${body.code})`).replaceAll("\n", "\n  ");
  const lines = [`banger: ${terminal.style("red", "error:")} ${message}`];
  const usage = body.code === "usage" ? body.details?.["usage"] : undefined;
  if (typeof usage === "string") lines.push(`banger: usage: ${printableLine(usage)}`);
  for (const cause of new Set(body.causes)) lines.push(`banger: cause: ${printableLine(cause)}`);
  if (body.hint !== undefined) lines.push(`banger: hint: ${printableLine(body.hint)}`);
  else if (body.code === "internal")
    lines.push("banger: hint: banger daemon status  # shows where the log is: this is a bug");
  if (body.operation !== undefined && !mistake.test(body.code))
    lines.push(terminal.style("dim", `banger: operation: ${printableLine(body.operation)}`));
  return lines;
}

function stackText(error: Error): string {
  const own = error.stack ?? error.message;
  return printable(error.cause instanceof Error ? `${own}\n${stackText(error.cause)}` : own);
}
