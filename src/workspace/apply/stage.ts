// Makes the files of a plan beside the work tree, merged where both sides changed them. The work tree is only read.
import { chmod, copyFile, mkdir, rename, stat } from "node:fs/promises";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import type { Quarantine } from "../quarantine/quarantine.ts";
import { writeBlobs } from "../quarantine/blobs.ts";
import type { Conflict, Step } from "./plan.ts";

/** Where the new file of a step lies in the staging directory, and where the old one is kept. */
export const newFile = (staging: string, at: number) => join(staging, "new", String(at));
export const oldFile = (staging: string, at: number) => join(staging, "old", String(at));

/** Returns the steps that could not be merged; then nothing may be switched. */
export async function stageSteps(
  quarantine: Quarantine,
  root: string,
  staging: string,
  steps: readonly Step[],
  signal: AbortSignal,
): Promise<Conflict[]> {
  const merging = join(staging, "merge");
  for (const name of ["new", "old", "merge"]) await mkdir(join(staging, name), { mode: 0o700 });
  const file = (path: Buffer) => Buffer.concat([Buffer.from(`${root}/`), path]);
  await writeBlobs(
    quarantine,
    steps.flatMap(({ write }, at) => {
      if (write === undefined || write.content === "own") return [];
      const { content } = write;
      if ("blob" in content) {
        return [{ id: content.blob, file: newFile(staging, at), link: write.mode === "120000" }];
      }
      return [
        { id: content.base, file: join(merging, `${at}.base`), link: false },
        { id: content.theirs, file: join(merging, `${at}.theirs`), link: false },
      ];
    }),
    signal,
  );
  const conflicts: Conflict[] = [];
  for (const [at, { path, write }] of steps.entries()) {
    if (write === undefined || (write.content !== "own" && "blob" in write.content)) continue;
    await copyFile(file(path), newFile(staging, at));
    if (
      write.content !== "own" &&
      !(await merged(quarantine, newFile(staging, at), join(merging, String(at)), signal))
    ) {
      conflicts.push({ path, why: "both sides changed the same lines" });
    }
  }
  const usual = (await stat(root)).mode;
  for (const [at, { found, write }] of steps.entries()) {
    if (write === undefined || write.mode === "120000") continue;
    // A file that is there keeps who may read it; a new one is as open as the work tree.
    const open = found?.isFile() === true ? found.mode & 0o666 : usual & 0o666;
    const executable = write.mode === "100755" ? (open & 0o444) >> 2 : 0;
    await chmod(newFile(staging, at), open | 0o200 | executable);
  }
  return conflicts;
}

/** Merges into `ours`, which is rewritten. False when lines conflict, or when it is no text. */
async function merged({ git }: Quarantine, ours: string, others: string, signal: AbortSignal): Promise<boolean> {
  const result = `${ours}.merged`;
  const anyExit = Array.from({ length: 256 }, (_, code) => code);
  const { exitCode } = await git(
    [
      "merge-file",
      "-p",
      "--quiet",
      "-L",
      "host",
      "-L",
      "shipped",
      "-L",
      "guest",
      ours,
      `${others}.base`,
      `${others}.theirs`,
    ],
    { output: createWriteStream(result, { mode: 0o600 }), okExitCodes: anyExit, signal },
  );
  if (exitCode !== 0) return false;
  await rename(result, ours);
  return true;
}
