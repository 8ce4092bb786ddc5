// Where the code of a thread is.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * From source it is worker.ts beside the module at `from`; the bundler makes it the file `bundled` of its own in dist/, and may
 * put the module's code one directory deeper.
 */
export function workerFile(from: string, bundled: string): URL {
  const places = ["worker.ts", bundled, `../${bundled}`].map((place) => new URL(place, from));
  const found = places.find((place) => existsSync(fileURLToPath(place)));
  if (found === undefined) throw new Error(`no ${bundled} beside ${from}`);
  return found;
}
