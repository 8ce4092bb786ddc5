// The names in archives: which are possible, and how they are shown to people.
import { TarError } from "../tar/header.ts";

const maxNameBytes = 255;
const maxPathBytes = 4095;

/**
 * Components of a path below the image's root; a leading "/" means that root. `onUpwards` is called when ".." would lead
 * somewhere and returns normally to have it resolved inside the root.
 */
export function splitPath(path: string, onUpwards: () => void): string[] {
  if (path.length > maxPathBytes) throw new TarError(`its path is longer than ${maxPathBytes} bytes`);
  if (path.includes("\0")) throw new TarError("its path has a zero byte");
  const components: string[] = [];
  for (const component of path.split("/")) {
    if (component === "" || component === ".") continue;
    if (component === "..") {
      onUpwards();
      components.pop();
      continue;
    }
    if (component.length > maxNameBytes) throw new TarError("a name in its path is longer than 255 bytes");
    components.push(component);
  }
  return components;
}

const maxShown = 160;

/** A path (bytes as latin1 text) in quotes, shortened, without control characters and marks of direction. */
export function shownPath(path: string): string {
  const bytes = path.slice(0, maxShown);
  const text = Buffer.from(bytes, "latin1").toString("utf8");
  const shown = JSON.stringify(text.includes("\ufffd") ? bytes : text).replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return path.length > maxShown ? `${shown.slice(0, -1)}…"` : shown;
}
