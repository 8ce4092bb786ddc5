// What of the user's own configuration comes along into each guest that starts: who commits are by, and the files of [[file_sync]].
// It goes one way: nothing of a guest is read, and it is the agent that decides what is there already.
import { homedir } from "node:os";
import { Readable } from "node:stream";
import type { FileSync } from "../../config/file-sync.ts";
import type { GitIdentity, GuestAgent } from "../../guest/agent.ts";
import { deadline } from "../../lib/abort.ts";
import { BangerError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Progress } from "../../lib/progress.ts";
import { collect } from "./collect.ts";
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
   * left out and mostly empty; undefined: there are no such files. Throws `file.failed`, or what the agent's `writeTar` throws.
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
      if (files.length > 0) await agent.writeTar("/root", Readable.from(packFiles(files)), { signal: limit.signal });
      return told(warnings);
    },
  };
}

function told(warnings: readonly string[]): string {
  const more = warnings.length - maxToldWarnings;
  const text = warnings.slice(0, maxToldWarnings).join("; ");
  return more > 0 ? `${text}; and ${more} more` : text;
}
