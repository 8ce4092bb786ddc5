// Who the user of this host is to git: the global user.name and user.email, and nothing else of that configuration.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { GitIdentity } from "../../guest/agent.ts";
import { toBangerError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { findTool, run } from "../../lib/run.ts";

/** As the agent takes it. */
const maxValueBytes = 1024;
const timeoutMs = 5000;

export interface GitIdentitySource {
  /** Undefined: there is none, or no git. A file that git cannot read is logged. Throws the signal's reason only. */
  read(options: { signal: AbortSignal }): Promise<GitIdentity | undefined>;
}

/** Asks git once for each state of its files: starts of VMs pay for two looks at file times. */
export function createGitIdentity({ env, log }: { env: NodeJS.ProcessEnv; log: Logger }): GitIdentitySource {
  const files = globalFiles(env);
  let known: { state: string; identity: Promise<GitIdentity | undefined> } | undefined;
  return {
    async read({ signal }) {
      const state = (await Promise.all(files.map(stateOf))).join(" ");
      if (state.trim() === "") return undefined;
      if (known?.state !== state) known = { state, identity: ask(env, log) };
      const { identity } = known;
      signal.throwIfAborted();
      return await identity;
    },
  };
}

/** Where git looks for what is global. */
function globalFiles({ GIT_CONFIG_GLOBAL, HOME, XDG_CONFIG_HOME }: NodeJS.ProcessEnv): string[] {
  if (GIT_CONFIG_GLOBAL !== undefined) return [GIT_CONFIG_GLOBAL];
  const home = HOME ?? "/";
  const configHome = XDG_CONFIG_HOME === undefined || XDG_CONFIG_HOME === "" ? join(home, ".config") : XDG_CONFIG_HOME;
  return [join(home, ".gitconfig"), join(configHome, "git/config")];
}

/** Different whenever the file is; empty when there is none. */
async function stateOf(path: string): Promise<string> {
  try {
    const { ctimeNs, ino, size } = await stat(path, { bigint: true });
    return `${ino}:${size}:${ctimeNs}`;
  } catch {
    return "";
  }
}

/** Shared by starts that come together, so it does not end with one of them. */
async function ask(env: NodeJS.ProcessEnv, log: Logger): Promise<GitIdentity | undefined> {
  if (findTool("git") === undefined) return undefined;
  const passed = ["HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"].flatMap((name) => {
    const value = env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  try {
    const { stdout } = await run({
      file: "git",
      args: ["config", "--global", "--null", "--get-regexp", "^user\\.(name|email)$"],
      cwd: "/",
      env: Object.fromEntries(passed),
      // 1: there is no such key.
      okExitCodes: [0, 1],
      timeoutMs,
      maxOutputBytes: 64 * 1024,
    });
    return parse(stdout.toString("utf8"));
  } catch (error) {
    log.warn("git does not say who its user is", { reason: toBangerError(error).message });
    return undefined;
  }
}

/** "user.name\nAda\0user.email\nada@example.org\0"; of several values the last one holds. */
function parse(text: string): GitIdentity | undefined {
  const values = new Map<string, string>();
  for (const entry of text.split("\0")) {
    const at = entry.indexOf("\n");
    if (at > 0) values.set(entry.slice(0, at), entry.slice(at + 1));
  }
  const usable = (key: string) => {
    const value = values.get(key) ?? "";
    return Buffer.byteLength(value) > maxValueBytes || /\p{Cc}/u.test(value) ? "" : value;
  };
  const identity = { name: usable("user.name"), email: usable("user.email") };
  return identity.name === "" && identity.email === "" ? undefined : identity;
}
