#!/bin/sh
# Generates the TypeScript and Go code of proto/, and the docs that are made from the source. With --check it fails when
# what is committed is not current.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/tools.sh"
cd "$root/go"
rm -rf ../src/guest/gen ../src/network/gen internal/gen
buf lint ../proto
buf generate ../proto --template ../proto/buf.gen.yaml --path ../proto/banger/agent
buf generate ../proto --template ../proto/buf.gen.netd.yaml --path ../proto/banger/netd
for docs in "$root"/scripts/*-docs.ts; do node "$docs"; done
if [ "${1:-}" = --check ]; then
  changed=$(git -C "$root" status --porcelain -- src/guest/gen src/network/gen go/internal/gen docs/commands.md docs/config.md docs/errors.md docs/openapi.json)
  if [ -n "$changed" ]; then
    printf 'generated code is not current; commit the result of make generate:\n%s\n' "$changed" >&2
    exit 1
  fi
fi
