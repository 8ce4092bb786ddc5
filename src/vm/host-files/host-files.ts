// What of the user's own configuration comes along into each guest that starts: who commits are by, and the files of [[file_sync]].
// It goes one way: nothing of a guest is read, and it is the agent that decides what is there already.
import { homedir } from "node:os";
import { Readable } from "node:stream";
import type { FileSync } from "../../config/file-sync.ts";
import type { GitIdentity, GuestAgent } from "../../guest/agent.ts";
import { deadline } from "../../lib/abort.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Progress } from "../../lib/progress.ts";
import { collect, type HostFile } from "./collect.ts";
import { createGitIdentity } from "./git-identity.ts";
import { packFiles } from "./pack.ts";

/** How long a guest may take to write the files. */
const copyTimeoutMs = 60_000;
const maxToldWarnings = 3;

export interface HostFiles {
  /** Undefined: there is none, or it is not wanted. Never fails but for the signal. */
  gitIdentity(options: { signal: AbortSignal }): Promise<GitIdentity | undefined>;
  /**
   * Copies the files of [[file_sync]] into a guest that is configured. Resolves with what people should know of it, which is what was
   * left out and mostly empty; undefined: there are no such files. Throws `file.failed` for files that cannot be read, what the agent's
   * `writeTar` throws when the session ends, or the signal's reason.
   */
  copy(agent: Pick<GuestAgent, "writeTar">, progress: Progress): Promise<string | undefined>;
}

export interface HostFilesOptions {
  fileSync: readonly FileSync[];
  gitIdentity: boolean;
  log: Logger;
  /** Default: that of this process. */
  env?: NodeJS.ProcessEnv;
  /** Default: of the user that this process runs as. */
  home?: string;
}

/** Free for VMs when nothing is configured. */
export function createHostFiles(options: HostFilesOptions): HostFiles {
  const { fileSync, log, env = process.env, home = homedir() } = options;
  const git = options.gitIdentity ? createGitIdentity({ env, log }) : undefined;
  return {
    gitIdentity: async ({ signal }) => await git?.read({ signal }),
    async copy(agent, progress) {
      if (fileSync.length === 0) return undefined;
      progress.stage("files", `${fileSync.length} of file_sync`);
      using limit = deadline(progress.signal, copyTimeoutMs, () => {
        return new BangerError("file.failed", `the guest did not take the files within ${copyTimeoutMs / 1000} s`);
      });
      const { files, warnings } = await collect(fileSync, home, limit.signal);
      if (warnings.length > 0) log.warn("not all files of file_sync were copied", { warnings });
      const refusal = files.length === 0 ? "" : await write(agent, files, limit.signal);
      if (refusal !== "") {
        log.warn("a guest did not take the files of file_sync", { reason: refusal });
        warnings.unshift(`not all files were copied: ${refusal}`);
      }
      return told(warnings);
    },
  };
}

/**
 * Resolves with the guest's reason not to write them, else with "": a VM whose disk is full, or that has a directory in place of a file,
 * starts all the same. Throws for what this side cannot read, and for a guest that does not answer.
 */
async function write(
  agent: Pick<GuestAgent, "writeTar">,
  files: readonly HostFile[],
  signal: AbortSignal,
): Promise<string> {
  const tar = Readable.from(packFiles(files));
  let unread: Error | undefined;
  tar.once("error", (error) => (unread = error));
  try {
    await agent.writeTar("/root", tar, { signal });
    return "";
  } catch (thrown) {
    signal.throwIfAborted();
    if (unread !== undefined) throw unread;
    const { code, message } = toBangerError(thrown);
    if (!["file.failed", "file.not-found", "guest.failed"].includes(code)) throw thrown;
    return message;
  }
}

function told(warnings: readonly string[]): string {
  const more = warnings.length - maxToldWarnings;
  const text = warnings.slice(0, maxToldWarnings).join("; ");
  return more > 0 ? `${text}; and ${more} more` : text;
}
