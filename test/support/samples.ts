// Samples of the README: what stands in its ```console blocks below a <!-- sample --> mark, and how output is compared with them.

export interface Sample {
  command: string;
  /** The lines that stand below the command. */
  expected: string[];
}

/** The marked blocks, in order; each a list of commands with their output. */
export function readSamples(markdown: string): Sample[][] {
  const blocks = markdown.matchAll(/<!-- sample -->\n\n```console\n(.*?)\n```/gs);
  return [...blocks].map(([, body = ""]) => {
    const samples: Sample[] = [];
    for (const line of body.split("\n")) {
      if (line.startsWith("$ ")) samples.push({ command: line.slice(2), expected: [] });
      else samples.at(-1)?.expected.push(line);
    }
    return samples;
  });
}

/** What must not change from run to run: numbers, ids, generated names and column widths do. */
export function stable(line: string): string {
  return line
    .replace(/\b[0-9a-f]{12}\b/g, "ID")
    .replace(/^[a-z]+-[a-z]+(?=: ready)/, "NAME")
    .replace(/\b\d+ m \d+ s\b|\b[\d.]+ m?s\b/g, "TIME")
    .replace(/\b\d+(?:[.-]\d+)+/g, "N")
    .replace(/\b\d+ (?:KiB|MiB|GiB)/g, "SIZE")
    .replace(/N (?:KiB|MiB|GiB)/g, "SIZE")
    .replace(/\bTIME ago|\bjust now/, "AGE")
    .replace(/\b\d+ vcpu/, "N vcpu")
    .replace(/(running\s+\S+\s+)\d+/, "$1N")
    .replace(/ +/g, " ")
    .trimEnd();
}

/** The first expected line that does not follow in `actual`; undefined when all do, in order, with or without others between. */
export function firstMissing(expected: readonly string[], actual: readonly string[]): string | undefined {
  let at = 0;
  for (const line of expected) {
    const found = actual.findIndex((other, index) => index >= at && stable(other) === stable(line));
    if (found < 0) return line;
    at = found + 1;
  }
  return undefined;
}
