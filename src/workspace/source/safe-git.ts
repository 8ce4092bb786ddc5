// How git is run on this host for workspaces: it takes no lock, asks nobody, fetches nothing and runs no other program.
import { run, type RunOptions } from "../../lib/run.ts";

/** Longest answer that is read, in bytes. */
const maxAnswerBytes = 512 * 1024 * 1024;

const quiet = {
  GIT_OPTIONAL_LOCKS: "0",
  GIT_TERMINAL_PROMPT: "0",
  GIT_NO_LAZY_FETCH: "1",
  GIT_NO_REPLACE_OBJECTS: "1",
  GIT_PAGER: "cat",
  GIT_ASKPASS: "false",
  GIT_PROTOCOL_FROM_USER: "0",
  GIT_ALLOW_PROTOCOL: "none",
};

/**
 * Asks a repository of the user about itself. Its configuration is read but for what it is never used with: only questions that
 * look at refs and settings may be asked this way, none that reads the index or the work tree (fsmonitor, filters).
 */
export const questionEnvironment = {
  ...quiet,
  GIT_CONFIG_COUNT: "2",
  GIT_CONFIG_KEY_0: "core.fsmonitor",
  GIT_CONFIG_VALUE_0: "false",
  GIT_CONFIG_KEY_1: "core.hooksPath",
  GIT_CONFIG_VALUE_1: "/dev/null",
};

/** Git with no configuration but that of a directory of ours: neither the system's nor the user's nor the repository's. */
export function isolatedEnvironment(gitDir: string, workTree: string, indexFile: string): Record<string, string> {
  return {
    ...quiet,
    GIT_DIR: gitDir,
    GIT_WORK_TREE: workTree,
    GIT_INDEX_FILE: indexFile,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_SYSTEM: "/dev/null",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_LITERAL_PATHSPECS: "1",
    GIT_INDEX_VERSION: "2",
  };
}

export type GitOptions = Pick<RunOptions, "input" | "output" | "okExitCodes" | "signal" | "timeoutMs"> & {
  cwd: string;
};

/** Throws `command.failed` with git's words. */
export async function git(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  options: GitOptions,
): Promise<{ stdout: Buffer; exitCode: number }> {
  return await run({ file: "git", args, env, maxOutputBytes: maxAnswerBytes, ...options });
}
