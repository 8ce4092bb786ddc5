// The real tools as tests of disks use them: qemu-img, qemu-io, e2fsck.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerError, type ErrorCode } from "../../lib/errors.ts";
import { cleanEnvironment } from "../../lib/run.ts";

export const mib = 1024 ** 2;
export const gib = 1024 ** 3;
export const never = { signal: new AbortController().signal };

export function temporary(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "banger-disk-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

/** Runs a tool to its end and gives its stdout; fails unless it exits with 0. */
export function tool(file: string, ...args: string[]): string {
  const ran = spawnSync(file, args, { env: cleanEnvironment(), maxBuffer: 64 * mib });
  assert.equal(
    ran.status,
    0,
    `${file} ${args.join(" ")}: ${String(ran.error ?? "")}${String(ran.stdout)}${String(ran.stderr)}`,
  );
  return String(ran.stdout);
}

export const assertSoundFileSystem = (path: string) => tool("e2fsck", "-fn", path);

export const imageInfo = (path: string) =>
  JSON.parse(tool("qemu-img", "info", "-U", "--output=json", path)) as Record<string, unknown>;

export const assertSameContent = (a: string, aFormat: string, b: string, bFormat: string) =>
  tool("qemu-img", "compare", "-f", aFormat, "-F", bFormat, a, b);

/** Commands of qemu-io, for example "write -P 7 0 64k"; `read -P` fails on other content. */
export function io(path: string, format: "raw" | "qcow2", ...commands: string[]): void {
  const out = tool("qemu-io", "-f", format, ...commands.flatMap((command) => ["-c", command]), path);
  assert.doesNotMatch(out, /failed/);
}

/** For assert.rejects: an error of this code whose message fits. */
export const failsWith =
  (code: ErrorCode, message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof BangerError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
