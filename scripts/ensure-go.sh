#!/bin/sh
# Prints the bin directory of a Go that can build go/. Go 1.21 and later fetch the release that go.mod names by themselves; for
# an older one (Debian 12's) it is fetched here the same way: as the module golang.org/toolchain.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
if [ "${minor:-0}" -ge 21 ]; then
  echo "$(go env GOROOT)/bin"
  exit
fi
wanted=$(sed -n 's/^go //p' "$root/go/go.mod")
toolchain="$(go env GOMODCACHE)/golang.org/toolchain@v0.0.1-go$wanted.linux-$(go env GOARCH)"
if ! [ -x "$toolchain/bin/go" ]; then
  (cd / && go mod download "golang.org/toolchain@v0.0.1-go$wanted.linux-$(go env GOARCH)")
  # Module archives carry no execute bits.
  chmod -R u+w "$toolchain"
  chmod 0755 "$toolchain/bin/go" "$toolchain/bin/gofmt"
  find "$toolchain/pkg/tool" -type f -exec chmod 0755 {} +
fi
echo "$toolchain/bin"
