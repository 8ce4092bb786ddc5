// A full disk for tests: a tmpfs of a few MiB in a mount namespace that ends with this process, however it ends.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SmallDisk extends AsyncDisposable {
  /** A directory on it, as every process of this user sees it. */
  path: string;
  /** Leaves only so many bytes free, until disposed. */
  fill(leaveBytes: number): Disposable;
  free(): number;
}

export async function smallDisk(sizeMib: number): Promise<SmallDisk> {
  const directory = mkdtempSync(join(tmpdir(), "banger-small-"));
  const holder = spawn(
    "unshare",
    ["--mount", "sh", "-ec", `mount -t tmpfs -o size=${sizeMib}m none . && echo ready; exec cat`],
    {
      cwd: directory,
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  const [said] = (await once(holder.stdout, "data")) as [Buffer];
  assert.equal(String(said), "ready\n");
  const path = join(`/proc/${holder.pid}/root`, directory);
  const free = () => {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  };
  return {
    path,
    free,
    fill(leaveBytes) {
      const filler = join(path, "filler");
      writeFileSync(filler, Buffer.alloc(free() - leaveBytes));
      return { [Symbol.dispose]: () => rmSync(filler) };
    },
    async [Symbol.asyncDispose]() {
      const ended = once(holder, "exit");
      holder.stdin.end();
      await ended;
      rmSync(directory, { recursive: true });
    },
  };
}
