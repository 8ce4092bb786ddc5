#!/bin/sh
# Every test, after the same set-up as the demo: lint, Go, unit, host facilities, whole programs, real VMs.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
sh scripts/setup.sh --test
sh scripts/build.sh
. scripts/tools.sh
export NODE_COMPILE_CACHE="$root/.cache/node"

echo "==> lint"
sh scripts/lint.sh
echo "==> go"
(cd go && go test ./...)
echo "==> seed (kernel and image for the tests with real VMs)"
node test/support/seed.ts
echo "==> images of a registry (made once, some minutes)"
node test/support/image-fixture.ts
echo "==> mise (once)"
node test/support/mise.ts
echo "==> unit, host, cli, vm"
BANGER_CRASH_FIGURES=$(mktemp)
export BANGER_CRASH_FIGURES
trap 'rm -f "$BANGER_CRASH_FIGURES"' EXIT
node --test --test-concurrency=2 --test-timeout=600000 \
  'src/**/*.test.ts' 'bench/**/*.test.ts' 'test/host/**/*.test.ts' 'test/cli/**/*.test.ts' 'test/vm/**/*.test.ts'
node test/support/crash-figures.ts "$BANGER_CRASH_FIGURES"
