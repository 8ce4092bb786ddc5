// Waiting for what a running program shows of its progress.
import type { ChildProcess } from "node:child_process";

const limitMs = 120_000;

/** Resolves when the program's stderr has named the stage. Fails when it ends before, or when that takes two minutes. */
export async function stageSeen(child: ChildProcess, stage: string): Promise<void> {
  let seen = "";
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.stderr?.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
    if (seen.includes(stage)) resolve();
  });
  child.once("close", () => reject(new Error(`it ended before stage "${stage}": ${seen}`)));
  const timer = setTimeout(() => reject(new Error(`waited ${limitMs} ms for stage "${stage}": ${seen}`)), limitMs);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}
