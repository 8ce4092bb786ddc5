// Version of an installed QEMU, as it says it; asked again when the program was replaced.
import { realpath, stat } from "node:fs/promises";
import { run } from "../../lib/run.ts";

/** First line of `--version`, for the path of a program. */
export function createVersionCache(): (program: string, signal: AbortSignal) => Promise<string> {
  const kept = new Map<string, string>();
  return async (program, signal) => {
    const path = await realpath(program);
    const { mtimeMs, size } = await stat(path);
    const key = `${path} ${mtimeMs} ${size}`;
    const known = kept.get(key);
    if (known !== undefined) return known;
    const { stdout } = await run({ file: program, args: ["--version"], timeoutMs: 10_000, signal });
    const version = stdout.toString("utf8").split("\n")[0] ?? "";
    kept.set(key, version);
    return version;
  };
}
