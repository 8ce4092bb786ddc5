#!/bin/sh
# Builds the Go programs, static: the guest agent for the architectures of guests, dist/agent/banger-agent-<amd64|arm64>, and
# dist/banger-netd, a guest's network, for this machine.
# usage: scripts/build-go.sh [arch...]
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/tools.sh"
version=${BANGER_VERSION:-$(sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' "$root/package.json" | head -n 1)}
[ $# -gt 0 ] || set -- amd64 arm64
mkdir -p "$root/dist/agent"
cd "$root/go"

# build PROGRAM OUT ARCH
build() {
  CGO_ENABLED=0 GOOS=linux GOARCH="$3" go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=${version:-dev}" -o "$2.new" "./cmd/$1"
  mv "$2.new" "$2"
}

for arch in "$@"; do
  build banger-agent "$root/dist/agent/banger-agent-$arch" "$arch"
done
build banger-netd "$root/dist/banger-netd" "$(go env GOHOSTARCH)"
