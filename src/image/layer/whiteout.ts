// Names in a layer that stand for deletions, and names that layers are not supposed to have.
import { TarError } from "../tar/header.ts";

export type EntryMeaning =
  | { kind: "file" }
  /** Deletes the name from the layers below. */
  | { kind: "whiteout"; name: string }
  /** Hides all that the layers below have in the directory. */
  | { kind: "opaque" }
  /** Left over from old storage drivers; says nothing. */
  | { kind: "ignored" };

const prefix = ".wh.";
const driverPrefix = ".wh..wh.";
const opaqueName = ".wh..wh..opq";

/** Whether no file of an image can have this name. */
export function isReserved(name: string): boolean {
  return name.startsWith(prefix);
}

/** What an entry at this path means. Throws TarError for names that would delete nothing that can be named. */
export function meaningOf(components: readonly string[]): EntryMeaning {
  const name = components.at(-1) ?? "";
  if (name === opaqueName && !components.slice(0, -1).some(isReserved)) {
    return { kind: "opaque" };
  }
  if (components.some((component) => component.startsWith(driverPrefix))) return { kind: "ignored" };
  if (components.slice(0, -1).some(isReserved)) {
    throw new TarError("it lies in a directory whose name is that of a whiteout");
  }
  if (!isReserved(name)) return { kind: "file" };
  const hidden = name.slice(prefix.length);
  if (hidden === "" || hidden === "." || hidden === "..") throw new TarError("it is a whiteout of nothing");
  return { kind: "whiteout", name: hidden };
}
