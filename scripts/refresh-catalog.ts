// Looks up what the tags of the image catalog are today, shows what is new, and writes it when somebody signs it off.
// Usage: node scripts/refresh-catalog.ts [--signed-off-by NAME] [--file FILE] [--add NAME --reference REF --description TEXT]
// Ends with 1 when something changed that nobody signed off, or could not be looked up.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { createRegistries } from "../src/daemon/registries.ts";
import { parsePinnedImages } from "../src/image/pinned/schema.ts";
import { writeFileAtomic } from "../src/lib/files.ts";
import { resolvePaths } from "../src/config/paths.ts";
import { refreshEntries } from "./catalog-entries.ts";

const text = { type: "string" } as const;
const { values } = parseArgs({
  options: { "signed-off-by": text, file: text, add: text, reference: text, description: text },
});
const root = join(import.meta.dirname, "..");
const file = resolve(values.file ?? join(root, "src/image/pinned/images.json"));
const by = values["signed-off-by"] ?? "";
const { add, reference, description } = values;

const known = existsSync(file) ? parsePinnedImages(readFileSync(file, "utf8"), file) : [];
const added =
  add === undefined || reference === undefined || description === undefined
    ? []
    : [{ name: add, reference, description }];
if (add !== undefined && added.length === 0) throw new Error("--add needs --reference and --description");
const stop = new AbortController();
process.once("SIGINT", () => stop.abort(new Error("interrupted")));

const { images, changes, failures } = await refreshEntries([...known.filter(({ name }) => name !== add), ...added], {
  registries: createRegistries({ authFile: resolvePaths().registryAuthFile, env: process.env }),
  by,
  today: new Date().toISOString().slice(0, 10),
  signal: stop.signal,
});
for (const line of changes) console.log(line);
for (const line of failures) console.error(`not looked up: ${line}`);
if (failures.length > 0) process.exitCode = 1;
if (changes.length === 0) console.log("nothing changed");
else if (by === "") {
  console.error("nothing is written: look at what is new, then repeat with --signed-off-by <your name>");
  process.exitCode = 1;
} else {
  const json = `${JSON.stringify({ version: 1, images }, null, 2)}\n`;
  parsePinnedImages(json, file);
  await writeFileAtomic(file, json);
  if (file.startsWith(`${root}/`)) execFileSync(process.execPath, [join(root, "node_modules/.bin/oxfmt"), file]);
  console.log(`written: ${file}`);
}
