// Standard input as a file that another process can read in any order, and that nobody has to remove.
import { mkdirSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { BangerError } from "../lib/errors.ts";
import { newId } from "../lib/ids.ts";
import type { CliContext } from "./context.ts";

/** Largest input. */
const maxBytes = 64 * 1024 ** 3;

/**
 * Copies all of standard input into a file below `directory` that has no name any more; `path` leads to it, for processes of this
 * user, until it is disposed, or this process ends in whatever way. Throws `usage` when input is a terminal.
 */
export async function spoolInput(
  streams: CliContext["streams"],
  directory: string,
  limit: number = maxBytes,
): Promise<{ path: string } & AsyncDisposable> {
  if (streams.stdinIsTty) throw new BangerError("usage", "standard input is a terminal: pipe an archive into it");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const name = join(directory, `stdin-${newId()}.tmp`);
  const file = await open(name, "wx+", 0o600);
  try {
    await rm(name);
    let bytes = 0;
    for await (const piece of streams.stdin() as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > limit) throw new BangerError("request.too-large", `standard input is larger than ${limit} bytes`);
      for (let at = 0; at < piece.length;) at += (await file.write(piece, at)).bytesWritten;
    }
    if (bytes === 0) throw new BangerError("image.invalid", "standard input is empty");
  } catch (error) {
    await file.close();
    throw error;
  }
  return { path: `/proc/${process.pid}/fd/${file.fd}`, [Symbol.asyncDispose]: () => file.close() };
}
