// The repository of the workspace rows: 50,000 small files with some history, in one pack.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const directories = 1000;
const filesInEach = 50;
const commits = 15;

export const fileCount = directories * filesInEach;

/** Makes it at `path`, which must not exist; it goes with the directory around it. */
export function makeLargeRepository(path: string): string {
  const git = (...args: string[]) =>
    execFileSync("git", ["-C", path, "-c", "user.name=b", "-c", "user.email=b@b", "-c", "gc.auto=0", ...args], {
      stdio: "pipe",
    });
  for (let at = 0; at < directories; at++) {
    const directory = join(path, `d${at % 25}/s${at}`);
    mkdirSync(directory, { recursive: true });
    for (let file = 0; file < filesInEach; file++) {
      const lines = Array.from({ length: 5 + ((at * file) % 60) }, (_, line) => `line ${line} of ${file} in ${at}\n`);
      writeFileSync(join(directory, `f${file}`), lines.join(""));
    }
  }
  git("init", "-q");
  git("add", "-A");
  git("commit", "-qm", "all");
  for (let at = 0; at < commits; at++) {
    writeFileSync(join(path, "d0/s0/f0"), `commit ${at}\n`);
    git("commit", "-qam", `commit ${at}`);
  }
  git("repack", "-adq");
  return path;
}
