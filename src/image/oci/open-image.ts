// What a path of a user's is: an image layout, an archive of images, or the tar of a root file system.
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { BangerError } from "../../lib/errors.ts";
import { stagingDirectory } from "../../lib/files.ts";
import { type Progress, quietProgress, withSignal } from "../../lib/progress.ts";
import { inThread } from "../file-work/thread.ts";
import { decompress, openArchive } from "../tar/decompress.ts";
import { blockBytes, parseHeader } from "../tar/header.ts";
import { isDockerArchive, openDockerArchive } from "./docker-archive.ts";
import { type FileTree, openDirectoryTree } from "./file-tree.ts";
import { isLayout, openLayout } from "./layout.ts";
import type { FileSource } from "./source.ts";
import { openTarTree } from "./tar-tree.ts";

/** Images at a path. Disposing it closes files and removes what was unpacked on the way. */
export interface ImageFile extends AsyncDisposable {
  source: FileSource;
  kind: "layout" | "docker-archive";
  /** Names of the images in it. */
  names: readonly string[];
}

export interface OpenImageOptions {
  /** Takes an archive that had to be decompressed. */
  stagingRoot: string;
  /** Largest archive, decompressed. */
  maxBytes: number;
}

const headBytes = 64 * 1024;
/** What the first entry of an archive of images is called. */
const firstName =
  /^(?:\.\/)?(?:oci-layout|index\.json|manifest\.json|repositories|blobs(?:\/.*)?|[0-9a-f]{64}(?:\.json|\.tar|\/.*)?)\/?$/;

/** Undefined: nothing of images is there, so it can only be a root file system. Throws `file.not-found`, `image.invalid`. */
export async function openImage(
  path: string,
  options: OpenImageOptions,
  progress: Progress,
): Promise<ImageFile | undefined> {
  const info = await stat(path).catch((error: unknown) => {
    throw new BangerError("file.not-found", `cannot read "${path}"`, { cause: error });
  });
  if (info.isDirectory()) {
    const tree = await openDirectoryTree(path);
    if (await isLayout(tree)) return { ...(await fromLayout(tree)), async [Symbol.asyncDispose]() {} };
    throw new BangerError(
      "image.invalid",
      `"${path}" is a directory, but no image layout: it has no "oci-layout" and "index.json"`,
      { hint: "banger image register <directory> --name <name>  # when it is the tree of a root file system" },
    );
  }
  const compressed = await looksLikeImages(path, progress);
  if (compressed === undefined) return undefined;
  await using undo = new AsyncDisposableStack();
  let plain = path;
  if (compressed) {
    const staging = undo.use(await stagingDirectory(options.stagingRoot));
    plain = join(staging.path, "images.tar");
    progress.stage("unpack", "archive");
    const { maxBytes } = options;
    await inThread({ do: "decompress", path, target: plain, maxBytes }, progress);
  }
  const tree = undo.use(await openTarTree(plain, path, progress.signal));
  const found = (await isLayout(tree))
    ? await fromLayout(tree)
    : (await isDockerArchive(tree))
      ? await fromDocker(tree, progress.signal)
      : undefined;
  if (found === undefined) return undefined;
  const kept = undo.move();
  return { ...found, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function fromLayout(tree: FileTree) {
  const source = await openLayout(tree);
  return { source, names: source.names, kind: "layout" as const };
}

async function fromDocker(tree: FileTree, signal: AbortSignal) {
  const source = await openDockerArchive(tree, signal);
  return { source, names: source.names, kind: "docker-archive" as const };
}

/** Undefined: the first entry is none of an archive of images. Else: whether it is compressed. */
async function looksLikeImages(path: string, progress: Progress): Promise<boolean | undefined> {
  const stop = new AbortController();
  const { signal } = progress;
  const archive = await openArchive(path, withSignal(quietProgress(signal), AbortSignal.any([signal, stop.signal])));
  // Whoever reads it gets its error.
  archive.on("error", () => {});
  try {
    const head: Buffer[] = [];
    let bytes = 0;
    for await (const piece of decompress(archive, { allowXz: true, signal: AbortSignal.any([signal, stop.signal]) })) {
      head.push(piece);
      bytes += piece.length;
      if (bytes >= headBytes) break;
    }
    const name = firstEntry(Buffer.concat(head));
    return name !== undefined && firstName.test(name) ? await isCompressed(path) : undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BangerError && error.code !== "command.failed") throw error;
    // What is wrong with it is told when it is read as what it can only be then.
    return undefined;
  } finally {
    stop.abort(new BangerError("cancelled", "the archive was only looked at"));
    archive.destroy();
  }
}

/** Name of the first entry that is not the root; undefined when there is none near the beginning. */
function firstEntry(head: Buffer): string | undefined {
  for (let at = 0; at + blockBytes <= head.length;) {
    const header = parseHeader(head.subarray(at, at + blockBytes));
    if (header === undefined) return undefined;
    const isRoot = header.typeFlag === "5" && [".", "./"].includes(header.name);
    if (!"LKxXg".includes(header.typeFlag) && !isRoot) return header.name;
    at += blockBytes + Math.ceil(header.sizeBytes / blockBytes) * blockBytes;
  }
  return undefined;
}

async function isCompressed(path: string): Promise<boolean> {
  await using file = await open(path, "r");
  const head = Buffer.alloc(6);
  await file.read(head, 0, head.length, 0);
  return /^(?:1f8b|28b52ffd|5.2a4d18|fd377a585a00)/.test(head.toString("hex"));
}
