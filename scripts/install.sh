#!/bin/sh
# Installs banger for the user who calls it, or for all with root, from a checkout that was built or from a release (package.sh); the same
# command brings a newer one.
# usage: install.sh [--prefix DIR] [--uninstall]     default: /usr/local for root, else ~/.local
#
# Each build has a directory of its own below lib/banger, which nobody changes: what runs goes on with the files that it started with.
# A link in bin leads to the build that is used. Both appear by renames, so that a command that is called meanwhile finds the one or the other.
set -eu
umask 022
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$here
[ -e "$root/dist/banger.mjs" ] || root=${here%/*}

die() {
  echo "install: $1" >&2
  [ -z "${2:-}" ] || echo "install: hint: $2" >&2
  exit 1
}

prefix=${HOME:-}/.local
[ "$(id -u)" != 0 ] || prefix=/usr/local
uninstall=
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:-}; [ $# -lt 2 ] || shift ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    --uninstall) uninstall=1 ;;
    *) die "\"$1\" is not an option" "sh $0 [--prefix DIR] [--uninstall]" ;;
  esac
  shift
done
case $prefix in
  /*) ;;
  *) die "the prefix \"$prefix\" is not an absolute path" "sh $0 --prefix \"\$HOME/.local\"" ;;
esac
prefix=$(realpath -m -- "$prefix")
builds=$prefix/lib/banger
command=$prefix/bin/banger
completions="share/bash-completion/completions/banger share/zsh/site-functions/_banger share/fish/vendor_completions.d/banger.fish"

# A banger that something else has put there is not ours to replace.
if [ -e "$command" ] || [ -L "$command" ]; then
  case $(readlink "$command" || true) in
    ../lib/banger/*) ;;
    *) die "$command is there and was not installed by this script" "mv $command $command.old" ;;
  esac
fi

# Pids of the processes that we can see which run a program of the directory: daemons, and networks of VMs.
users_of() {
  for exe in /proc/[0-9]*/exe; do
    case $(readlink "$exe" 2>/dev/null || true) in
      "$1"/*) exe=${exe#/proc/}; printf '%s ' "${exe%/exe}" ;;
    esac
  done
}

if [ -n "$uninstall" ]; then
  users=$(users_of "$builds")
  [ -z "$users" ] || die "it is in use, by process ${users% }" "banger vm stop <vm>...; banger daemon stop"
  rm -f "$command"
  for file in $completions; do rm -f "$prefix/$file"; done
  rm -rf "$builds"
  for file in bin/banger lib/banger $completions; do
    (cd "$prefix" 2>/dev/null && rmdir -p "${file%/*}" 2>/dev/null) || true
  done
  echo "removed banger from $prefix; VMs, images and settings are where they were (docs/on-disk.md)"
  exit 0
fi

for part in bin/banger dist/banger.mjs dist/bangerd.mjs dist/node dist/netd/banger-netd; do
  [ -e "$root/$part" ] || die "$root/$part is missing" "make -C $root build"
done
mkdir -p "$builds" "$prefix/bin" || die "$prefix cannot be written to" "sh $0 --prefix \"\$HOME/.local\""
exec 9>"$builds/.lock"
flock 9
# Of installations that were cut short.
rm -rf "$builds"/.staging.*

version=$("$root/dist/node" "$root/dist/banger.mjs" --version | cut -d ' ' -f 2)
digest=$(cd "$root" && find -L bin dist -path dist/compile-cache -prune -o -type f -print | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c 1-12)
build=$version-$digest
if [ ! -d "$builds/$build" ]; then
  staging=$(mktemp -d "$builds/.staging.XXXXXX")
  trap 'rm -rf "$staging"' EXIT
  cp -r "$root/bin" "$staging/bin"
  # Node itself in place of the link to it.
  cp -rL "$root/dist" "$staging/dist"
  rm -rf "$staging/dist/compile-cache"
  chmod -R u=rwX,go=rX "$staging"
  sync -f "$staging"
  mv -T "$staging" "$builds/$build"
fi
before=$(readlink "$command" 2>/dev/null || true)
ln -sfn "../lib/banger/$build/bin/banger" "$prefix/bin/.banger.new"
mv -T "$prefix/bin/.banger.new" "$command"
for file in $completions; do
  case $file in *.fish) shell=fish ;; */_banger) shell=zsh ;; *) shell=bash ;; esac
  mkdir -p "$prefix/${file%/*}"
  "$command" completion $shell >"$prefix/$file.new"
  mv "$prefix/$file.new" "$prefix/$file"
done
# What Node compiles in a short command is kept for the next one.
BANGER_HOME="$builds/none" "$command" daemon status >/dev/null 2>&1 || true

former=${before#../lib/banger/}
for old in "$builds"/*; do
  case ${old##*/} in "$build" | "${former%%/*}") continue ;; esac
  [ -n "$(users_of "$old")" ] || rm -rf "$old"
done

echo "banger $version is installed: $command"
case :$PATH: in
  *":$prefix/bin:"*) ;;
  *) echo "next: export PATH=\"$prefix/bin:\$PATH\"  # in your shell's start-up file" ;;
esac
echo "next: banger doctor  # what this host has and lacks"
