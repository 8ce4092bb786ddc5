// Whether a kernel really boots with KVM here. /dev/kvm that opens is not enough: under some nested hypervisors a machine is
// made and then spins for ever. The answer is kept until the host boots anew, or QEMU or the kernel changes.
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { BangerError } from "../../lib/errors.ts";
import { ensureDirectory, writeFileAtomic } from "../../lib/files.ts";
import { run } from "../../lib/run.ts";
import { hostBootId } from "../../lib/process-table.ts";
import type { Platform } from "./platform.ts";

export interface ProbeResult {
  works: boolean;
  /** What was seen, for people. */
  detail: string;
}

/** A kernel without a root boots to its panic in a fraction of this with working KVM. */
const bootTimeoutMs = 8_000;
const cacheFileName = "kvm-probe.json";

/** The kept answer, or a boot of `kernel`. Throws only the signal's reason and when QEMU is missing. */
export async function probeKvm(options: {
  platform: Platform;
  program: string;
  kernel: string;
  cacheDir: string;
  signal: AbortSignal;
}): Promise<ProbeResult> {
  const { program, kernel, cacheDir, signal } = options;
  const cacheFile = join(cacheDir, cacheFileName);
  const key = await probeKey(program, kernel, signal);
  const kept = await readKept(cacheFile);
  if (kept?.key === key) return kept;
  const result = await bootOnce(options);
  signal.throwIfAborted();
  await ensureDirectory(cacheDir);
  await writeFileAtomic(cacheFile, `${JSON.stringify({ key, ...result })}\n`);
  return result;
}

async function probeKey(program: string, kernel: string, signal: AbortSignal): Promise<string> {
  const version = await run({ file: program, args: ["--version"], timeoutMs: 10_000, signal });
  const { size, mtimeMs } = await stat(kernel);
  return [hostBootId(), version.stdout.toString("utf8").split("\n")[0], kernel, size, mtimeMs].join(" ");
}

async function readKept(path: string): Promise<(ProbeResult & { key: string }) | undefined> {
  try {
    const { key, works, detail } = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
    if (typeof key !== "string" || typeof works !== "boolean" || typeof detail !== "string") return undefined;
    return { key, works, detail };
  } catch {
    return undefined;
  }
}

/** Boots without disks or initramfs: a kernel that works reaches "no root", panics, and -no-reboot ends QEMU. */
async function bootOnce(options: {
  platform: Platform;
  program: string;
  kernel: string;
  signal: AbortSignal;
}): Promise<ProbeResult> {
  const { platform, program, kernel, signal } = options;
  const machine = ["-M", platform.machine, "-accel", "kvm", "-cpu", "host", "-m", "128M", "-smp", "1"];
  const quiet = ["-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-serial", "stdio"];
  const append = ["-append", `console=${platform.console} reboot=t panic=-1`];
  try {
    const { stdout } = await run({
      file: program,
      args: [...machine, ...quiet, "-kernel", kernel, ...append],
      timeoutMs: bootTimeoutMs,
      signal,
    });
    if (stdout.includes("Linux version")) return { works: true, detail: "a kernel boots with it" };
    return { works: false, detail: "the kernel ended without a word" };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof BangerError)) throw error;
    return error.code === "timeout"
      ? { works: false, detail: `a kernel did not boot with it within ${bootTimeoutMs / 1000} s` }
      : { works: false, detail: `QEMU failed: ${error.message.split("\n").at(-1)?.slice(0, 300)}` };
  }
}
