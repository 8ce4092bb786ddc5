// The repository on the host that a guest's changes go to: where its objects are, and a git that runs none of its commands.
import { lstat, realpath } from "node:fs/promises";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { run, type RunOptions, type RunResult } from "../../lib/run.ts";

export interface HostRepository {
  /** Top of the work tree. */
  root: string;
  /** Of this work tree: index and HEAD lie there. */
  gitDirectory: string;
  objects: string;
  format: "sha1" | "sha256";
}

/** Settings that name commands which git would start for what is done here; and no work beside what was asked for. */
const harmless: readonly (readonly [string, string])[] = [
  ["core.hooksPath", "/dev/null"],
  ["core.fsmonitor", "false"],
  ["core.attributesFile", "/dev/null"],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
  ["protocol.allow", "never"],
  ["transfer.fsckObjects", "true"],
];

const environment = {
  GIT_OPTIONAL_LOCKS: "0",
  GIT_TERMINAL_PROMPT: "0",
  GIT_NO_REPLACE_OBJECTS: "1",
  GIT_NO_LAZY_FETCH: "1",
  GIT_ALLOW_PROTOCOL: "",
  GIT_CONFIG_COUNT: String(harmless.length),
  ...Object.fromEntries(
    harmless.flatMap(([key, value], at) => [
      [`GIT_CONFIG_KEY_${at}`, key],
      [`GIT_CONFIG_VALUE_${at}`, value],
    ]),
  ),
};

/** Runs git in a repository of the host. No command may be given here that reads or writes the work tree: those start filters. */
export function hostGit(
  root: string,
  args: readonly string[],
  options: Omit<RunOptions, "file" | "args"> & { signal: AbortSignal },
): Promise<RunResult> {
  return run({ file: "git", args: ["-C", root, ...args], env: environment, ...options });
}

/** Throws `workspace.not-a-repository` when the work tree that was shipped is not there any more. */
export async function openHostRepository(root: string, signal: AbortSignal): Promise<HostRepository> {
  const gone = (why: string, cause?: unknown) =>
    new BangerError("workspace.not-a-repository", `the repository "${root}", which was shipped, ${why}`, { cause });
  try {
    if (!(await lstat(root)).isDirectory()) throw gone("is no directory any more");
  } catch (error) {
    if (error instanceof BangerError) throw error;
    throw gone("is not there any more", error);
  }
  try {
    const { stdout } = await hostGit(
      root,
      [
        "rev-parse",
        "--path-format=absolute",
        "--show-toplevel",
        "--absolute-git-dir",
        "--git-path",
        "objects",
        "--show-object-format",
      ],
      { signal },
    );
    const [top = "", gitDirectory = "", objects = "", format = ""] = stdout.toString().split("\n");
    if ((await realpath(top)) !== (await realpath(root))) throw gone(`is now a part of "${top}"`);
    if (format !== "sha1" && format !== "sha256") throw gone(`has objects of an unknown kind ("${format}")`);
    return { root, gitDirectory, objects, format };
  } catch (thrown) {
    const error = toBangerError(thrown);
    if (error.code !== "command.failed") throw error;
    throw gone("cannot be read by git", error);
  }
}

/** Who commits in a repository are by; a made-up one when its configuration does not say. */
export async function hostIdentity(root: string, signal: AbortSignal): Promise<{ name: string; email: string }> {
  const value = async (key: string) =>
    (await hostGit(root, ["config", "--get", key], { signal, okExitCodes: [0, 1] })).stdout
      .toString()
      .trim()
      .replace(/[<>\n]/g, "");
  const [name, email] = await Promise.all([value("user.name"), value("user.email")]);
  return { name: name || "banger", email: email || "banger@localhost" };
}
