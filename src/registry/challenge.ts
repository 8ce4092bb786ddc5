// Parser of `WWW-Authenticate`: which kinds of credentials a server takes, with their parameters.

export interface Challenge {
  /** Lower case: "bearer", "basic". */
  scheme: string;
  /** Names in lower case; the first of two with one name counts. */
  parameters: ReadonlyMap<string, string>;
}

const longestHeader = 16 * 1024;
const mostChallenges = 8;
const token = /[!#$%&'*+.^_`|~\w-]+/y;
const space = /[\s,]*/y;
const equals = /[ \t]*=[ \t]*(?!=)/y;
const quoted = /"((?:[^"\\]|\\[^])*)"/y;
const bare = /[^\s,"]*/y;
/** What follows a scheme that has no parameters, such as base64. */
const token68 = /[ \t]+[\w.~+/-]+=*(?=[ \t]*(?:,|$))/y;

/** All challenges of the header, in its order. What cannot be read ends the list: nothing is guessed. */
export function parseChallenges(header: string | undefined): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  if (header === undefined || header.length > longestHeader) return challenges;
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(header);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  while (challenges.length <= mostChallenges) {
    take(space);
    const word = take(token)?.[0];
    if (word === undefined) break;
    const current = challenges.at(-1);
    if (take(equals) !== null) {
      if (current === undefined) break;
      const value = take(quoted)?.[1]?.replaceAll(/\\([^])/g, "$1") ?? take(bare)?.[0] ?? "";
      const name = word.toLowerCase();
      if (!current.parameters.has(name)) current.parameters.set(name, value);
    } else {
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
      take(token68);
    }
  }
  return challenges.slice(0, mostChallenges);
}
