#!/bin/sh
# Builds ./bin/banger: the guest agent and the network (Go) and the two bundles (TypeScript).
# usage: scripts/build.sh [arch...]   architectures of guests, see build-go.sh
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
. scripts/tools.sh
sh scripts/build-go.sh "$@"
node scripts/build.ts
