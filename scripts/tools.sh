# Sourced by the other scripts, with $root set: the project's own node, go and command line tools come first in PATH.
# setup.sh makes .cache/bin.
# shellcheck shell=sh
# shellcheck disable=SC2154 # root is the caller's
export PATH="$root/.cache/bin:$root/node_modules/.bin:$PATH"
