// The TypeScript files of the project, for tests that hold rules about the source itself. Generated code is left out.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dirname, "../..");

export interface SourceFile {
  /** Relative to the root, with "/". */
  path: string;
  text: string;
}

/** Files that match the patterns; fails when there is none, so that a rule never holds for nothing. */
export function sourceFiles(...patterns: string[]): SourceFile[] {
  const paths = globSync(patterns, { cwd: root }).filter((path) => !/^src\/\w+\/gen\//.test(path));
  if (paths.length === 0) throw new Error(`no file matches ${patterns.join(" ")}`);
  return paths.toSorted().map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}
