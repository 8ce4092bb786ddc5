// A directory tree of this machine as a tar stream, packed by tar.
import { PassThrough, type Readable } from "node:stream";
import { BangerError } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { run } from "../../lib/run.ts";
import { untilDone } from "./decompress.ts";

const options = ["--create", "--xattrs", "--acls", "--numeric-owner", "--one-file-system", "--sort=name"];

/** With progress. It fails when tar does. Destroying the stream ends tar. */
export function packedDirectory(path: string, { signal, bytes }: Progress): Readable {
  const output = new PassThrough({ highWaterMark: 1024 * 1024 });
  const abandoned = new AbortController();
  const done = run({
    file: "tar",
    args: [...options, "-C", path, "."],
    output,
    timeoutMs: 3_600_000,
    signal: AbortSignal.any([signal, abandoned.signal]),
  }).then(() => {});
  const stream = untilDone(output, done);
  let doneBytes = 0;
  stream.on("data", (chunk: Buffer) => bytes((doneBytes += chunk.length), null));
  stream.pause();
  return stream.once("close", () => abandoned.abort(new BangerError("cancelled", "the tree is not read any more")));
}
