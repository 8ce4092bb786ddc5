// The end of a command: once stdout has taken everything, or has said that it cannot.
import { BangerError } from "../lib/errors.ts";
import { renderError } from "./output/errors.ts";
import type { OutputStream, Terminal } from "./output/terminal.ts";

/** What went wrong with stdout, other than that nobody reads it. */
export function outputError(error: NodeJS.ErrnoException): BangerError {
  return error.code === "ENOSPC"
    ? new BangerError("disk.full", "the output could not be written: no space is left where it goes")
    : new BangerError("file.failed", `the output could not be written: ${error.message}`);
}

/** The exit code: 1, with a word why, when all went well but for the output, which would look complete. */
export async function lastCode(code: number, terminal: Terminal): Promise<number> {
  const failure = await flushed(terminal.stdout);
  if (code !== 0 || failure === undefined || failure.code === "EPIPE") return code;
  renderError(outputError(failure), terminal);
  return 1;
}

async function flushed(stdout: OutputStream): Promise<NodeJS.ErrnoException | undefined> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.ErrnoException | undefined>();
  const write = stdout.write as (data: string, done: (error?: NodeJS.ErrnoException | null) => void) => unknown;
  write.call(stdout, "", (error) => resolve(error ?? undefined));
  return await promise;
}
