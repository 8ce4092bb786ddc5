// A repository of the user, as it says of itself: where its parts lie, its HEAD, and the settings that matter for a copy.
import { basename, join, relative, resolve } from "node:path";
import { BangerError } from "../../lib/errors.ts";
import { findRepository } from "./find.ts";
import { git, questionEnvironment } from "./safe-git.ts";

export interface Source {
  /** Absolute path of the work tree's top. */
  root: string;
  name: string;
  /** The named path below the root; empty for the root itself. */
  subdirectory: string;
  indexFile: string;
  /** Of the work tree (the same as `commonDir` unless it is a linked one). */
  gitDir: string;
  commonDir: string;
  objectFormat: "sha1" | "sha256";
  /** Null: HEAD is detached. */
  branch: string | null;
  /** Null: there is no commit yet. */
  headCommit: string | null;
  /** Last value of each setting, by lower-case name ("remote.origin.url"). */
  settings: ReadonlyMap<string, string>;
}

/** Looks at the repository that `path` lies in. Throws `workspace.not-a-repository`. */
export async function openSource(path: string, options: { signal: AbortSignal }): Promise<Source> {
  const { directory, root } = await findRepository(path, options);
  const ask = async (args: readonly string[]) => {
    const { stdout, exitCode } = await git(args, questionEnvironment, { cwd: root, okExitCodes: [0, 1], ...options });
    return exitCode === 0 ? stdout.toString().replace(/\n$/, "") : undefined;
  };
  const [gitDir, commonDir, list, head, headCommit] = await Promise.all([
    ask(["rev-parse", "--absolute-git-dir"]),
    ask(["rev-parse", "--git-common-dir"]),
    ask(["config", "--null", "--list"]),
    ask(["symbolic-ref", "--quiet", "HEAD"]),
    ask(["rev-parse", "--quiet", "--verify", "HEAD"]),
  ]);
  if (gitDir === undefined || commonDir === undefined) {
    throw new BangerError("workspace.not-a-repository", `the repository of "${path}" cannot be read`);
  }
  const settings = parseSettings(list ?? "");
  return {
    root,
    name: basename(root),
    subdirectory: relative(root, directory),
    gitDir,
    commonDir: resolve(root, commonDir),
    indexFile: join(gitDir, "index"),
    objectFormat: settings.get("extensions.objectformat") === "sha256" ? "sha256" : "sha1",
    branch: head?.startsWith("refs/heads/") === true ? head.slice("refs/heads/".length) : null,
    headCommit: headCommit ?? null,
    settings,
  };
}

/** HEAD of the repository now; null when it has no commit. Cheaper than to open it. */
export async function headOf(root: string, options: { signal: AbortSignal }): Promise<string | null> {
  const { stdout, exitCode } = await git(["rev-parse", "--quiet", "--verify", "HEAD"], questionEnvironment, {
    cwd: root,
    okExitCodes: [0, 1],
    ...options,
  });
  return exitCode === 0 ? stdout.toString().trim() : null;
}

/** How many commits lie on either side of two; null where that is not known. */
export async function commitsBetween(
  { root }: Source,
  before: string | null,
  now: string | null,
  options: { signal: AbortSignal },
): Promise<{ ahead: number | null; behind: number | null }> {
  if (before === now) return { ahead: 0, behind: 0 };
  if (before === null || now === null) return { ahead: null, behind: null };
  const { stdout, exitCode } = await git(
    ["rev-list", "--left-right", "--count", `${before}...${now}`, "--"],
    questionEnvironment,
    { cwd: root, okExitCodes: [0, 128], ...options },
  );
  const [behind, ahead] = stdout.toString().trim().split(/\s+/).map(Number);
  return exitCode === 0 && ahead !== undefined && behind !== undefined
    ? { ahead, behind }
    : { ahead: null, behind: null };
}

/** The object that a name means in the repository. Throws `usage`-like `workspace.failed` when there is none. */
export async function resolveName(source: Source, name: string, options: { signal: AbortSignal }): Promise<string> {
  const { stdout, exitCode } = await git(
    ["rev-parse", "--quiet", "--verify", "--end-of-options", name],
    questionEnvironment,
    { cwd: source.root, okExitCodes: [0, 1, 128], ...options },
  );
  const id = stdout.toString().trim();
  if (exitCode === 0 && /^[0-9a-f]{40,64}$/.test(id)) return id;
  throw new BangerError("workspace.failed", `"${source.root}" has nothing that is called "${name}"`, {
    hint: `git -C ${source.root} branch --all; git -C ${source.root} tag`,
  });
}

/** "key\nvalue\0key\nvalue\0"; a key without a value is true. */
function parseSettings(text: string): Map<string, string> {
  const settings = new Map<string, string>();
  for (const entry of text.split("\0")) {
    if (entry === "") continue;
    const at = entry.indexOf("\n");
    settings.set(at === -1 ? entry : entry.slice(0, at), at === -1 ? "true" : entry.slice(at + 1));
  }
  return settings;
}
