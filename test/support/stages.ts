// Waiting for what a running program shows of its progress.
import type { ChildProcess } from "node:child_process";

/** Resolves when the program's stderr has named the stage. Fails when it ends before. */
export async function stageSeen(child: ChildProcess, stage: string): Promise<void> {
  let seen = "";
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.stderr?.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
    if (seen.includes(stage)) resolve();
  });
  child.once("close", () => reject(new Error(`it ended before stage "${stage}": ${seen}`)));
  await promise;
}
