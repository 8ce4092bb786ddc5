// The system's tar, as a source and as a sink of streams.
import { PassThrough, type Readable } from "node:stream";
import { run } from "../../lib/run.ts";

/** A copy may take as long as it takes: Ctrl-C ends it. */
const timeoutMs = 7 * 24 * 3600 * 1000;

export interface Archive {
  stream: Readable;
  /** Rejects when tar failed; await it after the stream was taken. */
  finished: Promise<void>;
}

/** A tar of `name` in `directory`; links in `name` itself are followed when `follow` is set. */
export function packTar(directory: string, name: string, options: { follow: boolean; signal: AbortSignal }): Archive {
  const stream = new PassThrough();
  const finished = run({
    file: "tar",
    args: [
      "--create",
      "--file=-",
      "--format=posix",
      "--numeric-owner",
      ...(options.follow ? ["--dereference"] : []),
      `--directory=${directory}`,
      name === "." ? name : `./${name}`,
    ],
    output: stream,
    timeoutMs,
    signal: options.signal,
  }).then(
    () => {},
    (error: Error) => {
      stream.destroy(error);
      throw error;
    },
  );
  // The upload fails first when tar does; this rejection is looked at after it.
  finished.catch(() => {});
  return { stream, finished };
}

/**
 * Unpacks into a fresh directory that nobody else uses. tar itself strips leading slashes, refuses ".." and makes links that
 * point outside only at the end, so that nothing is written through them.
 */
export async function unpackTar(stream: Readable, directory: string, signal: AbortSignal): Promise<void> {
  await run({
    file: "tar",
    args: [
      "--extract",
      "--file=-",
      "--no-same-owner",
      "--no-same-permissions",
      "--delay-directory-restore",
      "--warning=no-timestamp",
      `--directory=${directory}`,
    ],
    input: stream,
    timeoutMs,
    signal,
  });
}
