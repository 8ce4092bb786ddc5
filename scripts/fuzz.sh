#!/bin/sh
# Goes on with the fuzz targets of the tests for FUZZ_SECONDS each (default 60), from FUZZ_SEED or a new seed. Names of files
# (src/image/tar/fuzz.test.ts) as arguments choose some of them.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
. scripts/tools.sh
export FUZZ_SECONDS="${FUZZ_SECONDS:-60}"
export FUZZ_SEED="${FUZZ_SEED:-$(date +%s)}"
export NODE_COMPILE_CACHE="$root/.cache/node"
[ $# -gt 0 ] || set -- 'src/**/fuzz.test.ts' 'test/host/*-fuzz.test.ts'
echo "fuzz: FUZZ_SECONDS=$FUZZ_SECONDS for each target, FUZZ_SEED=$FUZZ_SEED"
exec node --test --test-concurrency=1 "$@"
