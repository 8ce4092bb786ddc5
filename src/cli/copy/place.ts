// What "vm cp" takes as source and destination.
import { posix } from "node:path";
import { BangerError } from "../../lib/errors.ts";

export type Place =
  | { kind: "host"; path: string; contents: boolean; intoDirectory: boolean }
  | { kind: "guest"; vm: string; path: string; contents: boolean; intoDirectory: boolean }
  | { kind: "stream" };

/** Where relative paths in a VM begin. */
const guestHome = "/root";

/** "-", "<vm>:<path>" or a path on the host. `contents`: it ended with "/."; `intoDirectory`: it must be a directory. */
export function parsePlace(text: string): Place {
  if (text === "-") return { kind: "stream" };
  const contents = text === "." || text.endsWith("/.") || text.endsWith(":.");
  const intoDirectory = contents || text.endsWith("/") || text.endsWith(":");
  const colon = text.indexOf(":");
  const isGuest = colon > 0 && !text.startsWith(".") && !text.slice(0, colon).includes("/");
  if (!isGuest) return { kind: "host", path: text, contents, intoDirectory };
  const path = posix.resolve(guestHome, text.slice(colon + 1));
  if (path.includes("\0")) throw new BangerError("usage", "a path holds a zero byte");
  return { kind: "guest", vm: text.slice(0, colon), path, contents, intoDirectory };
}
