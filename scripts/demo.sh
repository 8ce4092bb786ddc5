#!/bin/sh
# The demo: from nothing to a repository's tests run in a VM. Says what each phase does and how long it took.
# Its VMs, images and daemon live in .cache/demo unless BANGER_HOME says otherwise.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
export BANGER_HOME="${BANGER_HOME:-$root/.cache/demo}"

now() { date +%s%N; }
seconds() { echo "$1 $2" | awk '{ printf "%.1f", ($2 - $1) / 1e9 }'; }
phase() {
  title=$1
  shift
  printf '==> %s\n' "$title"
  begin=$(now)
  "$@"
  printf '    %s: %s s\n' "$title" "$(seconds "$begin" "$(now)")"
}

have() { ./bin/banger "$1" show "$2" >/dev/null 2>&1 || ./bin/banger "$1" pull "$2"; }

started=$(now)
phase "set up (system packages, Node 24, npm and Go modules)" sh scripts/setup.sh
phase "build (guest agent, CLI, daemon)" sh scripts/build.sh
phase "kernel debian-bookworm-cloud" have kernel debian-bookworm-cloud
phase "image debian-bookworm" have image debian-bookworm
phase "banger vm run --rm ./examples/hello -- make test" ./bin/banger vm run --rm ./examples/hello -- make test
./bin/banger daemon stop >/dev/null
printf '==> all done in %s s\n' "$(seconds "$started" "$(now)")"
