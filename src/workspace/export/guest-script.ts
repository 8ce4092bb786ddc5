// What runs in the guest for an export: git of the guest packs the work tree as it is, without touching index, work tree, refs or
// objects of the repository there.

export interface GuestScriptRequest {
  /** Directory in the guest that the repository lies in. */
  directory: string;
  /** Ids of commits that the host has: what they hold is not sent. */
  known: readonly string[];
  /** Ids of further things that are sent, where the guest has them. */
  also: readonly string[];
  /** A further commit whose id is told and that is sent, as the guest names it. */
  base?: string | undefined;
  /** The directory holds files only: what git needs for the pack is made beside it. */
  withoutRepository: boolean;
  format: "sha1" | "sha256";
}

/** Exit codes of the script for what it tells by itself. */
export const guestExit = { noGit: 90, noDirectory: 91, noRepository: 92, noBase: 93, oddPath: 94 } as const;

/** First line of the output. Lines "name value" follow, then an empty one, then the pack. */
export const guestGreeting = "banger-export 1";

/** A POSIX shell and a git are all that the guest needs. */
export function guestScript(request: GuestScriptRequest): string[] {
  const { directory, known, also, base = "", withoutRepository, format } = request;
  const bare = withoutRepository ? format : "";
  return ["sh", "-c", script, "banger-export", directory, base, bare, ...known.map((id) => `^${id}`), ...also];
}

// The index is copied with its time: git tells by it which files it has to read again. It must lie in the git directory, for what it
// refers to there, and as /tmp may be too small. Objects go to a directory of their own, with the repository's behind it. With a
// threshold of one byte "add" streams all content into one pack: that costs less than a file for each, and no memory.
const script = `set -eu
directory=$1 base=$2 bare=$3
shift 3
command -v git >/dev/null || exit ${guestExit.noGit}
cd "$directory" || exit ${guestExit.noDirectory}
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_EXTERNAL_DIFF
export LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_OPTIONAL_LOCKS=0 HOME="\${HOME:-/root}"
git() {
  command git -c safe.directory='*' -c core.fsmonitor=false -c core.hooksPath=/dev/null -c advice.addEmbeddedRepo=false \\
    -c core.bigFileThreshold=16m -c core.compression=1 -c core.looseCompression=0 -c pack.threads=1 -c gc.auto=0 \\
    -c core.safecrlf=false "$@"
}
trap 'exit 1' HUP INT TERM
if places=$(git rev-parse --absolute-git-dir --show-toplevel --git-path objects 2>/dev/null); then
  { IFS= read -r dir; IFS= read -r top; IFS= read -r objects; } <<END
$places
END
  case $objects in /*) ;; *) objects=$PWD/$objects ;; esac
  [ -d "$dir" ] && [ -d "$top" ] && [ -d "$objects" ] || exit ${guestExit.oddPath}
  for old in "$dir"/banger-export-*; do [ -e "/proc/\${old##*-}" ] || rm -rf "$old"; done
  own=$dir/banger-export-$$
  trap 'rm -rf "$own"' EXIT
  mkdir "$own" "$own/objects" "$own/objects/info"
  printf '%s\\n' "$objects" >"$own/objects/info/alternates"
  [ ! -f "$dir/index" ] || cp -p "$dir/index" "$own/index"
  IFS= read -r branch <"$dir/HEAD" || :
  export GIT_INDEX_FILE="$own/index" GIT_OBJECT_DIRECTORY="$own/objects"
  cd "$top"
elif [ -n "$bare" ]; then
  own=$(mktemp -d /var/tmp/banger-export-XXXXXX)
  trap 'rm -rf "$own"' EXIT
  git init -q --bare --object-format="$bare" "$own"
  branch= base=
  export GIT_DIR="$own" GIT_WORK_TREE="$PWD"
else
  exit ${guestExit.noRepository}
fi
found=$(for name in HEAD \${base:+"$base"} "$@"; do printf '%s^{}\\n' "\${name#^}"; done |
  git cat-file --batch-check='%(objectname)')
from=
ids=
{
  IFS= read -r head
  [ -z "$base" ] || IFS= read -r from
  for name in "$@"; do
    IFS= read -r id
    case $id in *missing) ;; *) ids="$ids $name" ;; esac
  done
} <<END
$found
END
case $head in *missing) head= ;; esac
case $from in *missing) exit ${guestExit.noBase} ;; esac
git -c core.bigFileThreshold=1 add -A
tree=$(git write-tree)
export GIT_AUTHOR_NAME=banger GIT_AUTHOR_EMAIL=banger@localhost GIT_COMMITTER_NAME=banger GIT_COMMITTER_EMAIL=banger@localhost
snapshot=$(git commit-tree -m export \${head:+-p "$head"} "$tree")
printf '%s\\n' '${guestGreeting}' "head $head" "base $from" "tree $tree" "branch \${branch#ref: refs/heads/}" ''
for id in "$snapshot" "$tree" $head $from $ids; do printf '%s\\n' "$id"; done |
  git pack-objects --revs --thin --stdout --delta-base-offset -q
`;
