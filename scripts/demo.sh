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

# Guests of this machine's own architecture: the demo needs no other.
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
[ -x "dist/agent/banger-agent-$arch" ] || note=", about a minute the first time"

started=$(now)
phase "set up (system packages, Node 24, npm and Go modules)" sh scripts/setup.sh
phase "build (guest agent, CLI, daemon${note:-})" sh scripts/build.sh "$arch"
phase "kernel debian-bookworm-cloud" have kernel debian-bookworm-cloud
phase "image debian-bookworm" have image debian-bookworm
phase "banger vm run --rm ./examples/hello -- make test" ./bin/banger vm run --rm ./examples/hello -- make test
./bin/banger daemon stop --quiet
printf '==> all done in %s s\n' "$(seconds "$started" "$(now)")"
cat <<END

Now try it yourself:

  export PATH="$root/bin:\$PATH" BANGER_HOME="$BANGER_HOME"
  banger vm run                          # a shell in a fresh VM; leave it with exit
  banger vm run --rm . -- ls -la         # this repository in a VM that is removed afterwards
  banger ps                              # which VMs are there
  banger --help
END
