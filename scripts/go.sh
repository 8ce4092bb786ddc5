#!/bin/sh
# Runs Go. A Go that is older than 1.21 cannot fetch the tool chain that go.mod names by itself: then it is fetched as the
# module golang.org/toolchain, which is how newer ones do it.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
minor=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
if [ -z "$minor" ]; then
  echo "go.sh: Go is not installed" >&2
  exit 1
fi
if [ "$minor" -ge 21 ]; then exec go "$@"; fi

wanted=$(sed -n 's/^go //p' "$root/go/go.mod")
machine=$(go env GOARCH)
toolchain="$(go env GOMODCACHE)/golang.org/toolchain@v0.0.1-go$wanted.linux-$machine"
if ! [ -x "$toolchain/bin/go" ]; then
  (cd / && go mod download "golang.org/toolchain@v0.0.1-go$wanted.linux-$machine")
  # Module archives carry no execute bits.
  chmod -R u+w "$toolchain"
  chmod 0755 "$toolchain/bin/go" "$toolchain/bin/gofmt"
  find "$toolchain/pkg/tool" -type f -exec chmod 0755 {} +
fi
GOTOOLCHAIN=local exec "$toolchain/bin/go" "$@"
