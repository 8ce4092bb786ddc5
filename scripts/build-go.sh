#!/bin/sh
# Builds the guest agent for the architectures of guests: dist/agent/banger-agent-<amd64|arm64>, static.
# usage: scripts/build-go.sh [arch...]
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/tools.sh"
version=${BANGER_VERSION:-$(sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' "$root/package.json" | head -n 1)}
[ $# -gt 0 ] || set -- amd64 arm64
mkdir -p "$root/dist/agent"
cd "$root/go"
for arch in "$@"; do
  out="$root/dist/agent/banger-agent-$arch"
  CGO_ENABLED=0 GOOS=linux GOARCH="$arch" go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=${version:-dev}" -o "$out.new" ./cmd/banger-agent
  mv "$out.new" "$out"
done
