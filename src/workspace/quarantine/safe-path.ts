// Which names of a guest's tree may become names on the host. The rules are git's own for what it checks out (verify_path with
// protectHFS and protectNTFS), held again here: they must not depend on the version or settings of a git.

/** Longest path and longest name, in bytes, that Linux takes. */
const maxPathBytes = 4095;
const maxNameBytes = 255;

/** Files that git itself reads: as links they would make it read something else. */
const neverLinks = new Set([".gitmodules", ".gitattributes", ".gitignore", ".mailmap"]);

/** Characters that HFS+ leaves out when it compares names. */
const ignoredByHfs = /\u200d|[\u200c\u200e\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g;

/** Why a path of a tree is refused; undefined when it is harmless. `path` has no NUL. */
export function whyUnsafe(path: Buffer): string | undefined {
  if (path.length === 0) return "it has no name";
  if (path.length > maxPathBytes) return `its path is longer than ${maxPathBytes} bytes`;
  if (path[0] === slash) return "it is an absolute path";
  // Bytes as characters: names need not be UTF-8.
  for (const name of path.toString("latin1").split("/")) {
    const why = whyUnsafeName(name);
    if (why !== undefined) return why;
  }
  return undefined;
}

/** Why a path must not be a symbolic link; undefined when it may be one. */
export function whyUnsafeLink(path: Buffer): string | undefined {
  const name = plain(path.toString("latin1").split("/").at(-1) ?? "");
  return neverLinks.has(name) ? "it is a link under a name that git reads" : undefined;
}

const slash = 0x2f;

function whyUnsafeName(name: string): string | undefined {
  if (name === "") return "a part of its path is empty";
  if (name === "." || name === "..") return `a part of its path is "${name}"`;
  if (name.length > maxNameBytes) return `a part of its path is longer than ${maxNameBytes} bytes`;
  // Windows takes a backslash for a slash.
  if (name.split("\\").some((part) => isGitDirectory(part))) return "it lies in a directory that git reads (.git)";
  return undefined;
}

/** Whether some file system takes the name for ".git". */
function isGitDirectory(name: string): boolean {
  const folded = plain(name);
  return folded === ".git" || folded === "git~1";
}

/** The name as the most forgiving file systems see it: case, ignorable characters, trailing dots and spaces, streams. */
function plain(name: string): string {
  return (
    Buffer.from(name, "latin1")
      .toString("utf8")
      // What is no UTF-8 ends the name, as git has it.
      .replace(/\ufffd.*$/s, "")
      .replace(ignoredByHfs, "")
      .toLowerCase()
      .replace(/:.*$/s, "")
      .replace(/[. ]+$/, "")
  );
}
