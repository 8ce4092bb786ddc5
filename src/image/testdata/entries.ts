// Short words for the entries of layers in tests.
import type { TestEntry } from "./archive.ts";

type More = Partial<TestEntry>;

/** A file whose content is its path, if nothing else is said. */
export const file = (path: string, data: string | Buffer = path, more: More = {}): TestEntry => ({
  path,
  data,
  ...more,
});
export const dir = (path: string, more: More = {}): TestEntry => ({ path, type: "5", mode: 0o750, ...more });
export const link = (path: string, target: string, more: More = {}): TestEntry => ({
  path,
  type: "2",
  link: target,
  ...more,
});
export const hard = (path: string, target: string, more: More = {}): TestEntry => ({
  path,
  type: "1",
  link: target,
  ...more,
});
/** An empty file with this whole path: the name of a whiteout, or a marker. */
export const wh = (path: string, more: More = {}): TestEntry => ({ path, data: "", ...more });
export const character = (path: string, major: number, minor: number, more: More = {}): TestEntry => ({
  path,
  type: "3",
  major,
  minor,
  ...more,
});
/** An entry whose path is too long or too odd for the header. */
export const named = (path: string | Buffer, more: More = {}): TestEntry => ({
  path: "x",
  ...more,
  pax: { ...more.pax, path },
});
