#!/bin/sh
# Goes on with the fuzz targets of the tests for FUZZ_SECONDS each (default 60), from FUZZ_SEED or a new seed. Names of files
# (src/image/tar/fuzz.test.ts, go/internal/netd/edge/edge_test.go) as arguments choose some of them.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
. scripts/tools.sh
export FUZZ_SECONDS="${FUZZ_SECONDS:-60}"
export FUZZ_SEED="${FUZZ_SEED:-$(date +%s)}"
export NODE_COMPILE_CACHE="$root/.cache/node"
# go_targets FILE: the targets of a Go file, each in its turn. Go chooses its seed itself, and keeps what failed in testdata/fuzz.
go_targets() (
  cd "$root/$(dirname "$1")"
  sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' "$root/$1" | while read -r target; do
    echo "fuzz: $1 $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZ_SECONDS}s" -parallel 1 . </dev/null
  done
)

if [ $# -eq 0 ]; then
  # shellcheck disable=SC2046 # a list of files without spaces in their names
  set -- 'src/**/fuzz.test.ts' 'test/host/*-fuzz.test.ts' $(grep -rl '^func Fuzz' go --include='*_test.go')
fi
echo "fuzz: FUZZ_SECONDS=$FUZZ_SECONDS for each target, FUZZ_SEED=$FUZZ_SEED"
for file in "$@"; do
  case $file in
    *_test.go) go_targets "$file" ;;
    *) node --test --test-concurrency=1 "$file" ;;
  esac
done
