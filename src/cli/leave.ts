// The end of the process: once stdout has taken everything, or has said that it cannot.
import { BangerError } from "../lib/errors.ts";
import { renderError } from "./output/errors.ts";
import type { Terminal } from "./output/terminal.ts";

/** What went wrong with stdout, other than that nobody reads it. */
export function outputError(error: NodeJS.ErrnoException): BangerError {
  return error.code === "ENOSPC"
    ? new BangerError("disk.full", "the output could not be written: no space is left where it goes")
    : new BangerError("file.failed", `the output could not be written: ${error.message}`);
}

/** Exits; with 1 and a word why when all went well but for the output, which would look complete. */
export function leave(code: number, { stdout }: { stdout: NodeJS.WriteStream }, terminal: Terminal): void {
  stdout.write("", (error) => {
    const failure = error as NodeJS.ErrnoException | null | undefined;
    const isLost = code === 0 && failure !== null && failure !== undefined && failure.code !== "EPIPE";
    if (isLost) renderError(outputError(failure), terminal);
    process.exit(isLost ? 1 : code);
  });
}
