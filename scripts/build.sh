#!/bin/sh
# Builds ./bin/banger: the guest agent (Go) and the two bundles (TypeScript).
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
machine=x64
[ "$(uname -m)" = aarch64 ] && machine=arm64
sh scripts/build-go.sh
"node_modules/node-linux-$machine/bin/node" scripts/build.ts
