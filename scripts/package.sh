#!/bin/sh
# Packs what was built into a release that needs no compiler, no npm and no checkout: banger-<version>-linux-<machine>.tar.zst, with install.sh
# in it, and its SHA-256 beside it. The same build packs to the same bytes.
# usage: package.sh [DIR]   where the files go; default: release
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
out=${1:-$root/release}
mkdir -p "$out"
out=$(CDPATH='' cd -- "$out" && pwd)
cd "$root"
. scripts/tools.sh

version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)
name=banger-$version-linux-$(uname -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/$name"
cp -r bin LICENSE README.md CHANGELOG.md docs scripts/install.sh "$work/$name"
cp -rL dist "$work/$name/dist"
rm -rf "$work/$name/dist/compile-cache"
node scripts/third-party.ts >"$work/$name/THIRD-PARTY.md"
chmod -R u=rwX,go=rX "$work/$name"
tar --create --directory="$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=posix \
  --pax-option=delete=atime,delete=ctime --use-compress-program='zstd -T0 -9 -q' --file="$out/$name.tar.zst.new" "$name"
mv "$out/$name.tar.zst.new" "$out/$name.tar.zst"
(cd "$out" && sha256sum "$name.tar.zst" >"$name.tar.zst.sha256")
echo "$out/$name.tar.zst"
