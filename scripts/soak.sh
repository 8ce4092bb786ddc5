#!/bin/sh
# Runs the load tests in full size and the tests that kill the daemon or VMs at random, each of them again and again for SOAK_SECONDS (default 600).
# SOAK_SEED=<number> repeats what a run chose at random, as far as chance allows. Names of files as arguments choose some of them.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
. scripts/tools.sh
export SOAK_SECONDS="${SOAK_SECONDS:-600}"
SOAK_SEED="${SOAK_SEED:-$(($(date +%s) % 1000000))}"
export BANGER_KILL_SEED="$SOAK_SEED"
export NODE_COMPILE_CACHE="$root/.cache/node"
node test/support/seed.ts
[ $# -gt 0 ] || set -- test/vm/load.test.ts test/vm/crash-load.test.ts test/vm/kill-meanwhile.test.ts
echo "soak: SOAK_SECONDS=$SOAK_SECONDS for each test, SOAK_SEED=$SOAK_SEED"
exec node --test --test-concurrency=1 "$@"
