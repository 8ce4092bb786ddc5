// git as it is run on what a guest sent: in a directory of its own, with no configuration but ours, so that no hook, filter, driver
// or other command of this host is started for it, and with limits on memory and file size.
import type { Writable, Readable } from "node:stream";
import { asDiskFull, BangerError, toBangerError } from "../../lib/errors.ts";
import { findTool, run, type RunResult } from "../../lib/run.ts";

/** Memory that one git may use. A delta of some bytes can name any size for its result. */
const maxMemoryBytes = 4 * 1024 ** 3;

export interface GitOptions {
  signal: AbortSignal;
  input?: string | Uint8Array | Readable;
  output?: Writable;
  okExitCodes?: readonly number[];
  maxOutputBytes?: number;
  env?: Readonly<Record<string, string>>;
}

export type Git = (args: readonly string[], options: GitOptions) => Promise<RunResult>;

export interface QuarantineGitOptions {
  /** The bare repository. */
  directory: string;
  /** Object directories of the host that may be read. */
  alternates: readonly string[];
  /** No file becomes larger than this. */
  maxFileBytes: number;
  timeoutMs: number;
}

/** The settings of a quarantine: all that git reads there. */
export const quarantineSettings: readonly (readonly [string, string])[] = [
  ["core.bare", "true"],
  ["core.hooksPath", "/dev/null"],
  ["core.attributesFile", "/dev/null"],
  ["core.fsmonitor", "false"],
  ["core.protectHFS", "true"],
  ["core.protectNTFS", "true"],
  // Above this size a blob is not held in memory.
  ["core.bigFileThreshold", "32m"],
  ["core.packedGitWindowSize", "64m"],
  ["core.packedGitLimit", "512m"],
  ["core.deltaBaseCacheLimit", "128m"],
  ["pack.threads", "1"],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
  ["protocol.allow", "never"],
  ["transfer.fsckObjects", "true"],
];

/** What git must not find out about, or read from, the host. */
const isolated = {
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_SYSTEM: "/dev/null",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_ATTR_NOSYSTEM: "1",
  GIT_NO_REPLACE_OBJECTS: "1",
  GIT_NO_LAZY_FETCH: "1",
  GIT_OPTIONAL_LOCKS: "0",
  GIT_TERMINAL_PROMPT: "0",
  GIT_ALLOW_PROTOCOL: "",
  GIT_PROTOCOL_FROM_USER: "0",
};

/** Runs git in a quarantine. It throws `workspace.failed`, with git's words as the cause. */
export function quarantineGit({ directory, alternates, maxFileBytes, timeoutMs }: QuarantineGitOptions): Git {
  return async (args, { env, ...options }) => {
    const running = run({
      ...limited(["git", ...args], maxFileBytes),
      // A patch that is cut off is not to look whole.
      failOutput: true,
      cwd: directory,
      env: {
        ...isolated,
        HOME: directory,
        GIT_DIR: directory,
        ...(alternates.length === 0 ? {} : { GIT_ALTERNATE_OBJECT_DIRECTORIES: alternates.map(quoted).join(":") }),
        ...env,
      },
      timeoutMs,
      ...options,
    });
    try {
      return await running;
    } catch (thrown) {
      const error = toBangerError(thrown);
      const full = asDiskFull(error, "no space is left on the disk for what the guest sent");
      if (full !== error || error.code !== "command.failed") throw full;
      throw new BangerError("workspace.failed", `git ${args[0]} failed on what the guest sent`, { cause: error });
    }
  };
}

function limited([file = "", ...args]: readonly string[], maxFileBytes: number): { file: string; args: string[] } {
  if (findTool("prlimit") === undefined) return { file, args };
  return {
    file: "prlimit",
    args: [`--as=${maxMemoryBytes}`, `--fsize=${maxFileBytes}`, "--core=0", "--", file, ...args],
  };
}

/** git splits the list at colons, unless an entry is quoted as in C. */
function quoted(path: string): string {
  return /[:"\\\n]/.test(path) ? `"${path.replace(/["\\]/g, "\\$&").replace(/\n/g, "\\n")}"` : path;
}
