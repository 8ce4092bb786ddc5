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

/** A path (bytes as latin1 text) in quotes, shortened, without control characters. */
export function shownPath(path: string): string {
  const bytes = Buffer.from(path.length > 160 ? `${path.slice(0, 160)}…` : path, "latin1");
  const text = bytes.toString("utf8");
  return JSON.stringify(text.includes("\ufffd") ? path.slice(0, 160) : text).replaceAll(
    /[\u007f-\u009f]/g,
    (character) => `\\u00${character.charCodeAt(0).toString(16)}`,
  );
}
