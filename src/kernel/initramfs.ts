// Builds the initramfs of a guest: the agent as /init, the drivers it loads, and their order. Cached by content.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { KernelRecord } from "../api/records.ts";
import { BangerError } from "../lib/errors.ts";
import { ensureDirectory, removeInside, writeFileAtomic } from "../lib/files.ts";
import type { Logger } from "../lib/log.ts";
import { cpioArchive } from "./cpio.ts";
import type { CpioEntry } from "./cpio.ts";
import { modulePath, modulesList, planModules } from "./module-plan.ts";
import type { PlannedModule } from "./module-plan.ts";

/** Changes whenever the layout does, so that a cache of an older version is not used. */
const layoutVersion = 1;

export interface InitramfsOptions {
  kernel: KernelRecord;
  /** Static agent binary for the kernel's architecture. */
  agentPath: string;
  /** The cache directory of banger; files lie in its folder "initramfs". */
  cacheDir: string;
  log: Logger;
}

/**
 * Path of the initramfs for this kernel and agent; built when it is not in the cache. Files for the same kernel with
 * another agent are removed. The file is not to be changed; it may vanish from the cache once no boot needs it.
 */
export async function buildInitramfs(options: InitramfsOptions, { signal }: { signal: AbortSignal }): Promise<string> {
  const { kernel, agentPath, cacheDir, log } = options;
  const directory = join(cacheDir, "initramfs");
  const agentSha256 = await fileSha256(agentPath, signal);
  const key = createHash("sha256").update(`${layoutVersion} ${kernel.id} ${agentSha256}`).digest("hex");
  const kernelPrefix = kernel.id.slice(0, 16);
  const path = join(directory, `${kernelPrefix}-${key.slice(0, 16)}.img`);
  if (await exists(path)) return path;

  const started = performance.now();
  await ensureDirectory(directory);
  const modules =
    kernel.modulesDir === null
      ? []
      : await planModules(join(kernel.modulesDir, "lib", "modules", kernel.version), signal);
  const pieces = cpioArchive(entriesOf(await readFile(agentPath, { signal }), modules));
  signal.throwIfAborted();
  await writeFileAtomic(path, Buffer.concat(pieces));
  for (const name of await readdir(directory)) {
    const other = join(directory, name);
    if (name.startsWith(`${kernelPrefix}-`) && name.endsWith(".img") && other !== path)
      await removeInside(directory, other);
  }
  log.info("initramfs built", {
    kernel: kernel.name,
    modules: modules.map((module) => module.name).join(" "),
    durationMs: Math.round(performance.now() - started),
  });
  return path;
}

function entriesOf(agent: Uint8Array, modules: readonly PlannedModule[]): CpioEntry[] {
  const directory = (name: string): CpioEntry => ({ name, type: "directory", mode: 0o755 });
  const device = (name: string, mode: number, major: number, minor: number): CpioEntry => ({
    name,
    type: "character-device",
    mode,
    device: { major, minor },
  });
  return [
    ...["dev", "proc", "sys", "run", "lib", "lib/modules", "lib/modules/banger"].map(directory),
    device("dev/console", 0o600, 5, 1),
    device("dev/null", 0o666, 1, 3),
    { name: "init", type: "file", mode: 0o755, data: agent },
    ...modules.map((module): CpioEntry => ({
      name: modulePath(module).slice(1),
      type: "file",
      mode: 0o644,
      data: module.data,
    })),
    { name: "lib/modules/banger/modules.list", type: "file", mode: 0o644, data: Buffer.from(modulesList(modules)) },
  ];
}

const digests = new Map<string, string>();

/** sha256 of a file; remembered while its inode, size and time of change stay the same. */
async function fileSha256(path: string, signal: AbortSignal): Promise<string> {
  const info = await stat(path).catch((error: unknown) => {
    throw new BangerError("command.missing", `the guest agent is not at "${path}"`, {
      cause: error,
      hint: "make build",
    });
  });
  const key = `${path} ${info.dev} ${info.ino} ${info.size} ${info.mtimeMs} ${info.ctimeMs}`;
  const known = digests.get(key);
  if (known !== undefined) return known;
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash, { signal });
  const digest = hash.digest("hex");
  digests.set(key, digest);
  return digest;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
