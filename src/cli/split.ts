// Cuts a command line before the parser sees it: options of the guest's command or of ssh are not ours to understand.
import type { LoadedCommand } from "./command.ts";

export interface SplitWords {
  own: string[];
  /** Undefined when nothing was cut off; an empty array when `--` stood at the end. */
  rest: string[] | undefined;
}

/** `words` are those after the command's name. */
export function splitWords(words: readonly string[], loaded: LoadedCommand): SplitWords {
  if (loaded.rest === undefined) return { own: [...words], rest: undefined };
  if (loaded.rest === "all") return { own: [], rest: words[0] === "--" ? words.slice(1) : [...words] };
  const limit = loaded.rest === "dashes" ? Number.POSITIVE_INFINITY : 1;
  const own: string[] = [];
  let positionals = 0;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (word === "--") return { own, rest: words.slice(at + 1) };
    const isOption = word.startsWith("-") && word !== "-";
    if (!isOption && positionals === limit) return { own, rest: words.slice(at) };
    own.push(word);
    if (isOption) {
      if (takesValue(word, loaded) && at + 1 < words.length) own.push(words[++at] as string);
      continue;
    }
    positionals++;
    if (loaded.rest === "first") {
      const rest = words.slice(at + 1);
      return { own, rest: rest.length === 0 ? undefined : rest };
    }
  }
  return { own, rest: undefined };
}

function takesValue(word: string, loaded: LoadedCommand): boolean {
  if (word.includes("=")) return false;
  const { flags = {}, aliases = {} } = loaded.command.parameters;
  const byAlias: Readonly<Record<string, string | undefined>> = aliases;
  const name = word.startsWith("--")
    ? word.slice(2).replace(/-./g, (match) => match.slice(1).toUpperCase())
    : byAlias[word.slice(-1)];
  const parameter = name === undefined ? undefined : flags[name];
  return parameter !== undefined && parameter.kind !== "boolean" && parameter.kind !== "counter";
}
