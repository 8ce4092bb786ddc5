// Writes the git directory that a guest gets, and the record of what was shipped. The guest needs no git for it.
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, readdir, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { WorkspaceMode } from "../../api/workspace-record.ts";
import { baseRef } from "../record.ts";
import { configFile } from "../source/config-file.ts";
import { originUrl } from "../source/origin.ts";
import { git, questionEnvironment } from "../source/safe-git.ts";
import type { Source } from "../source/source.ts";
import { keptSettings, type Staging } from "./staging.ts";

export interface DotGitRequest {
  source: Source;
  /** Its index is what was shipped. */
  staging: Staging;
  /** Its index becomes the guest's. */
  guestIndex: Staging;
  mode: WorkspaceMode;
  branch: string | null;
  startCommit: string | null;
  baseTree: string;
  /** Content of the guest's file "shallow"; empty: none. */
  shallow: string;
  /** The directory that it is made in. */
  extraRoot: string;
}

type Call = { signal: AbortSignal };
type Refs = [name: string, id: string][];

/** Below the top of a workspace, where a guest has git. */
export const metaBelowGit = ".git/banger";
/** In the tar, where it has none; the agent puts it elsewhere. */
export const metaAlone = ".banger-meta";

/** Returns the name of what was made below `extraRoot`. */
export async function writeDotGit(request: DotGitRequest, options: Call): Promise<".git" | typeof metaAlone> {
  const { source, mode, branch, startCommit, extraRoot } = request;
  if (mode === "copy") {
    await writeRecord(request, join(extraRoot, metaAlone), []);
    return metaAlone;
  }
  const top = join(extraRoot, ".git");
  for (const path of ["objects/info", "objects/pack", "refs/heads", "refs/tags", "refs/banger", "info", "hooks"]) {
    await mkdir(join(top, path), { recursive: true, mode: 0o755 });
  }
  const refs = await refsOf(request, options);
  const head = branch === null ? (startCommit ?? "ref: refs/heads/main") : `ref: refs/heads/${branch}`;
  await Promise.all([
    writeFile(join(top, "HEAD"), `${head}\n`),
    writeFile(join(top, "config"), guestConfig(source, branch, refs)),
    writeFile(join(top, "description"), `${source.name}\n`),
    writeFile(join(top, baseRef), `${request.baseTree}\n`),
    refs.length === 0 ? undefined : writeFile(join(top, "packed-refs"), packedRefs(refs)),
    request.shallow === "" ? undefined : writeFile(join(top, "shallow"), request.shallow),
    copyWithTime(request.guestIndex.indexFile, join(top, "index")),
    writeRecord(request, join(extraRoot, metaBelowGit), [
      ...refs,
      ...(branch === null && startCommit !== null ? [["HEAD", startCommit] satisfies [string, string]] : []),
    ]),
    pack(request, refs, join(top, "objects/pack/pack"), options),
  ]);
  await makeReadable(top);
  return ".git";
}

/** Modes as `git clone` makes them, whatever is usual on this host: for all below a directory. */
export async function makeReadable(path: string): Promise<void> {
  await chmod(path, 0o755);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const inside = join(path, entry.name);
    await (entry.isDirectory() ? makeReadable(inside) : chmod(inside, isObject(entry.name) ? 0o444 : 0o644));
  }
}

/** Packs and loose objects. */
const isObject = (name: string) => /^(?:pack-|[0-9a-f]{38}(?:[0-9a-f]{24})?$)/.test(name);

/** The branch that the guest is on; in mode full every branch and tag of the host, too. */
async function refsOf({ source, mode, branch, startCommit }: DotGitRequest, options: Call): Promise<Refs> {
  const refs = new Map<string, string>();
  if (mode === "full") {
    const { stdout } = await git(
      ["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags", "refs/remotes"],
      questionEnvironment,
      { cwd: source.root, ...options },
    );
    for (const line of stdout.toString("latin1").split("\n")) {
      const at = line.indexOf(" ");
      // refs/remotes/origin/HEAD names another ref.
      if (at > 0 && !line.endsWith("/HEAD")) refs.set(line.slice(at + 1), line.slice(0, at));
    }
  }
  if (branch !== null && startCommit !== null) {
    refs.set(Buffer.from(`refs/heads/${branch}`).toString("latin1"), startCommit);
  }
  return [...refs].toSorted(([one], [other]) => (one < other ? -1 : 1));
}

/** Names are bytes as latin1 text, as in `refsOf`. */
function packedRefs(refs: Refs): Buffer {
  return Buffer.from(`# pack-refs with: sorted \n${refs.map(([name, id]) => `${id} ${name}\n`).join("")}`, "latin1");
}

/** All objects of the history that is shipped, of the guest's index and of the shipped files in one pack with its index. */
async function pack(request: DotGitRequest, refs: Refs, to: string, options: Call): Promise<void> {
  const { guestIndex, startCommit, baseTree } = request;
  const tips = new Set([baseTree, ...refs.map(([, id]) => id), ...(startCommit === null ? [] : [startCommit])]);
  await guestIndex.git(
    [
      "-c",
      "pack.compression=1",
      "pack-objects",
      "--quiet",
      "--revs",
      "--indexed-objects",
      "--delta-base-offset",
      "--window=0",
      to,
    ],
    { input: `${[...tips].join("\n")}\n`, timeoutMs: 60 * 60 * 1000, ...options },
  );
}

function guestConfig(source: Source, branch: string | null, refs: Refs): string {
  const { settings, objectFormat } = source;
  const url = originUrl(settings) ?? undefined;
  const isFollowed = refs.some(([name]) => name === `refs/remotes/origin/${branch}`);
  const { filemode: _, ...kept } = keptSettings(settings);
  return configFile([
    [
      ["core"],
      {
        repositoryformatversion: objectFormat === "sha256" ? "1" : "0",
        filemode: "true",
        bare: "false",
        logallrefupdates: "true",
        ...kept,
        // The index holds inode numbers and the like of the host: times and sizes alone say what is unchanged.
        checkStat: "minimal",
        trustctime: "false",
      },
    ],
    [["extensions"], { objectformat: objectFormat === "sha256" ? "sha256" : undefined }],
    [["remote", "origin"], { url, fetch: url === undefined ? undefined : "+refs/heads/*:refs/remotes/origin/*" }],
    [["branch", branch ?? ""], !isFollowed ? {} : { remote: "origin", merge: `refs/heads/${branch}` }],
    [["user"], { name: settings.get("user.name"), email: settings.get("user.email") }],
  ]);
}

/** What src/workspace/record.ts describes. */
async function writeRecord({ source, staging, mode }: DotGitRequest, to: string, refs: Refs): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 });
  const lines = [`format ${source.objectFormat}`, ...refs.map(([name, id]) => `ref ${id} ${name}`)];
  await writeFile(join(to, "state"), Buffer.from(lines.map((line) => `${line}\n`).join(""), "latin1"));
  const copied = mode !== "metadata-only" && (await copyWithTime(staging.indexFile, join(to, "index")));
  if (!copied) await writeFile(join(to, "index"), emptyIndex(source));
}

function emptyIndex({ objectFormat }: Source): Buffer {
  const head = Buffer.from("DIRC\0\0\0\u0002\0\0\0\0", "latin1");
  return Buffer.concat([head, createHash(objectFormat).update(head).digest()]);
}

/** git takes files that are as young as the index for possibly changed. False: a repository without any file has no index. */
async function copyWithTime(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
  const { atime, mtime } = await stat(from);
  await utimes(to, atime, mtime);
  return true;
}
