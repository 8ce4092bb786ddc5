// A tool that a repository pins, and how its version is written for mise.

export interface PinnedTool {
  /** As mise names it: go, node, python, rust, or any other of its tools. */
  tool: string;
  /** As mise takes it; null: the file names no version that could be installed by itself. */
  version: string | null;
  /** What the file says. */
  wanted: string;
  /** Name of the file. */
  source: string;
}

const others: Record<string, string> = { golang: "go", nodejs: "node", "core:go": "go", "core:node": "node" };

/** The name that mise has for a tool. */
export function toolName(name: string): string {
  return others[name] ?? name.replace(/^core:/, "");
}

/** The version of a pin; null when it is no plain one: a range, a path, a reference. */
export function plainVersion(wanted: string): string | null {
  const text = wanted.trim().replace(/^v(?=\d)/, "");
  return /^[\w][\w.+-]{0,63}$/.test(text) && !/^(?:system|path|ref|sub|prefix)\b/.test(text) ? text : null;
}

/** The version that a range of npm begins with, when it has one lower end: "^20.1" and ">=20" are 20. */
export function rangeVersion(range: string): string | null {
  const text = range.trim();
  const exact = /^[=v]*(\d+(?:\.\d+){0,2})$/.exec(text);
  if (exact?.[1] !== undefined) return exact[1];
  const tilde = /^~\s*v?(\d+(?:\.\d+)?)(?:\.\d+)?$/.exec(text);
  if (tilde?.[1] !== undefined) return tilde[1];
  return /^(?:\^|>=)?\s*v?(\d+)(?:\.(?:\d+|[x*])){0,2}(?:\s+<\s*=?\s*\d[\d.]*)?$/.exec(text)?.[1] ?? null;
}
