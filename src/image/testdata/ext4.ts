// Looks into ext4 files with the tools of e2fsprogs, as tests need it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cleanEnvironment } from "../../lib/run.ts";

function tool(file: string, args: readonly string[]): { status: number | null; text: string; stdout: Buffer } {
  const ran = spawnSync(file, args, { env: cleanEnvironment(), maxBuffer: 64 * 1024 * 1024 });
  assert.equal(ran.error, undefined);
  return { status: ran.status, text: `${ran.stdout.toString("latin1")}${ran.stderr.toString()}`, stdout: ran.stdout };
}

/** Fails unless the file system is sound. */
export function assertSound(image: string): void {
  const { status, text } = tool("e2fsck", ["-fn", image]);
  assert.equal(status, 0, text);
}

/** What debugfs prints for one request. */
export function debugfs(image: string, request: string): string {
  return tool("debugfs", ["-R", request, image]).stdout.toString("latin1");
}

/** Facts of one file; the path may be "<inode>". */
export function statOf(image: string, path: string) {
  const text = debugfs(image, `stat "${path}"`);
  const field = (pattern: RegExp) => pattern.exec(text)?.[1];
  return {
    text,
    inode: Number(field(/Inode: (\d+)/)),
    type: field(/Type: ([A-Za-z ]+?) {2,}/),
    mode: field(/Mode: +(\d+)/),
    owner: [Number(field(/User: +(-?\d+)/)) >>> 0, Number(field(/Group: +(-?\d+)/)) >>> 0],
    size: Number(field(/Size: (\d+)/)),
    links: Number(field(/Links: (\d+)/)),
    device: field(/Device major\/minor number: (\d+:\d+)/),
    mtime: field(/ mtime: (0x[0-9a-f]+:[0-9a-f]+)/),
  };
}

/** Names in a directory, without "." and "..", as debugfs shows them. */
export function namesIn(image: string, path: string): string[] {
  // "/inode/mode/uid/gid/name/size/", and a name may hold anything but a slash.
  return [...debugfs(image, `ls -p "${path}"`).matchAll(/^\/\d+\/\d+\/\d+\/\d+\/([^/]*)\/\d*\/$/gm)]
    .map(([, name = ""]) => name)
    .filter((name) => name !== "." && name !== "..");
}
