#!/bin/sh
# Every check that needs no running program: types, lint, format, dead code, Go, generated code, shell.
# All checks run and all findings are shown; a tool that saw no file at all is a failure, not a success.
set -u
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root" || exit 1
. scripts/tools.sh
output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=

# check NAME COMMAND...: shows what the command says when it fails.
check() {
  name=$1
  shift
  if "$@" >"$output" 2>&1; then
    echo "lint: $name: ok"
  else
    cat "$output"
    echo "lint: $name: FAILED" >&2
    failed="$failed $name"
  fi
}

# For tools that end with "Finished in 5ms on 18 files".
with_files() {
  "$@" || return 1
  grep -q ' on [1-9][0-9]* files' "$output" || { echo "saw no files"; return 1; }
}

types() {
  tsc -p . || return 1
  tsc -p . --listFilesOnly | grep -q "^$root/src/" || { echo "saw no files"; return 1; }
}

go_format() {
  files=$(find go -name '*.go') || return 1
  [ -n "$files" ] || { echo "saw no files"; return 1; }
  # shellcheck disable=SC2086 # a list of words
  unformatted=$(gofmt -l $files) || return 1
  [ -z "$unformatted" ] || { printf 'run make format:\n%s\n' "$unformatted"; return 1; }
}

# A subshell: it changes the directory.
go_vet() (
  cd go || exit 1
  packages=$(go list ./...) || exit 1
  [ -n "$packages" ] || { echo "saw no packages"; exit 1; }
  go vet -tags guest ./...
)

shell() {
  files=$(find scripts .ci examples -type f \( -name '*.sh' -o -path .ci/run \)) || return 1
  [ -n "$files" ] || { echo "saw no files"; return 1; }
  # shellcheck disable=SC2086 # a list of words
  shellcheck $files
}

check types types
check lint with_files oxlint src test bench scripts
check format with_files oxfmt --check .
# Who may import whom, which file must say what: rules about the source, written as tests.
check source-rules node --test 'test/support/*.test.ts'
# An entry or project pattern that matches nothing is a configuration hint.
check dead-code knip --no-progress --treat-config-hints-as-errors
check go-format go_format
check go-vet go_vet
check generated-code sh scripts/generate.sh --check
if command -v shellcheck >/dev/null; then check shell shell; else echo "lint: shell: shellcheck is not installed, not checked"; fi

if [ -n "$failed" ]; then
  echo "lint: failed:$failed" >&2
  exit 1
fi
