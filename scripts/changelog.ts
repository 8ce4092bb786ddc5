// Makes a release's section of CHANGELOG.md of the files in changelog/unreleased/ and removes them.
// Usage: node scripts/changelog.ts <version> <date>
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readEntries, releaseSection } from "./changelog-entries.ts";

const [version, date] = process.argv.slice(2);
if (version === undefined || !/^\d{4}-\d\d-\d\d$/.test(date ?? "")) {
  throw new Error("usage: node scripts/changelog.ts <version> <year-month-day>");
}
const root = join(import.meta.dirname, "..");
const directory = join(root, "changelog/unreleased");
const entries = readEntries(directory);
const file = join(root, "CHANGELOG.md");
const text = readFileSync(file, "utf8");
const firstRelease = text.indexOf("\n## ");
const at = firstRelease === -1 ? text.length : firstRelease;
writeFileSync(file, `${text.slice(0, at)}\n${releaseSection(`${version} (${date})`, entries)}${text.slice(at)}`);
for (const entry of entries) rmSync(join(directory, entry.file));
