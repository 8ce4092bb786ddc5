#!/bin/sh
# Builds the guest agent for the architectures of guests, dist/agent/banger-agent-<amd64|arm64>, and for this host what carries the
# networks of VMs, dist/netd/banger-netd. All of them are static.
# usage: scripts/build-go.sh [arch...]
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/tools.sh"
version=${BANGER_VERSION:-$(sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' "$root/package.json" | head -n 1)}
[ $# -gt 0 ] || set -- amd64 arm64
mkdir -p "$root/dist/agent" "$root/dist/netd"
cd "$root/go"
# build <program> <architecture> <file>
build() {
  CGO_ENABLED=0 GOOS=linux GOARCH="$2" go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=${version:-dev}" -o "$3.new" "./cmd/$1"
  mv "$3.new" "$3"
}
for arch in "$@"; do build banger-agent "$arch" "$root/dist/agent/banger-agent-$arch"; done
build banger-netd "$(go env GOHOSTARCH)" "$root/dist/netd/banger-netd"
