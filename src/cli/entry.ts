// What the command tree is made of: commands with one line each, and groups of them with words of their own.
import type { Example, LoadedCommand, Page } from "./command.ts";

export interface Leaf {
  kind: "leaf";
  summary: string;
  hidden?: boolean;
  load: () => Promise<{ default: LoadedCommand }>;
}

export interface Group extends Page {
  kind: "group";
  summary: string;
  hidden?: boolean;
  entries: Readonly<Record<string, Leaf | Group>>;
  /** Other name -> name in `entries`. */
  aliases: Readonly<Record<string, string>>;
}

/** `load` imports the file of the command. */
export function leaf(summary: string, load: Leaf["load"], hidden = false): Leaf {
  return { kind: "leaf", summary, load, hidden };
}

/** Words first, then what is in it. */
export function group(
  summary: string,
  about: string,
  examples: readonly Example[],
  entries: Group["entries"],
  aliases: Group["aliases"] = {},
  hidden = false,
): Group {
  return { kind: "group", summary, about, examples, entries, aliases, hidden };
}
