// The completion scripts of the shells. Each asks `banger __complete` for proposals and knows nothing else of banger.

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

// bash splits words at ":" and "=" as well; the typed line is split at spaces instead, and what bash already holds of a word
// with a colon is cut off the proposals.
const bash = String.raw`# bash completion for banger. Load it with: source <(banger completion bash)
_banger() {
  local typed=${"$"}{COMP_LINE:0:COMP_POINT} line files= current held
  local -a words
  read -ra words <<<"$typed"
  [[ $typed == *[[:space:]] ]] && words+=("")
  current=${"$"}{words[${"$"}{#words[@]} - 1]}
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then files=1; else COMPREPLY+=("${"$"}{line%%$'\t'*}"); fi
  done < <("$1" __complete "${"$"}{words[@]:1}" 2>/dev/null)
  if [[ -n $files && $current != -* ]]; then
    compopt -o filenames
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
  fi
  if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
    held=${"$"}{current%"${"$"}{current##*:}"}
    COMPREPLY=("${"$"}{COMPREPLY[@]#"$held"}")
  fi
  [[ ${"$"}{#COMPREPLY[@]} -eq 1 && ${"$"}{COMPREPLY[0]} == *: ]] && compopt -o nospace
  return 0
}
complete -F _banger banger
`;

const zsh = String.raw`#compdef banger
# zsh completion for banger. Load it with: source <(banger completion zsh)
_banger() {
  local -a lines values
  local line value files=
  lines=("${"$"}{(@f)$("${"$"}{words[1]}" __complete "${"$"}{(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in "${"$"}{lines[@]}"; do
    if [[ $line == :files ]]; then
      files=1
    elif [[ -n $line ]]; then
      value=${"$"}{line%%$'\t'*}
      if [[ $line == *$'\t'* ]]; then
        values+=("${"$"}{value//:/\\:}:${"$"}{line#*$'\t'}")
      else
        values+=("${"$"}{value//:/\\:}")
      fi
    fi
  done
  (( ${"$"}{#values} )) && _describe -t banger banger values
  [[ -n $files ]] && _files
  return 0
}
if [[ ${"$"}{funcstack[1]} == _banger ]]; then _banger "$@"; else compdef _banger banger; fi
`;

const fish = String.raw`# fish completion for banger. Load it with: banger completion fish | source
function __banger_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    if test "$line" = ":files"
      __fish_complete_path "$current"
    else
      printf '%s\n' $line
    end
  end
end
complete -c banger -f -a '(__banger_complete)'
`;

export const scripts: Readonly<Record<Shell, string>> = { bash, zsh, fish };
