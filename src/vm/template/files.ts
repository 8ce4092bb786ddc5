// A template on the disk: one directory, named by its fingerprint, with guest memory, device state and what it was made of.
import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/files.ts";
import type { MachineCapture } from "../../vmm/driver.ts";

export interface TemplateManifest {
  /** Fingerprint of its machines (src/vm/fingerprint.ts): 64 hex digits, and the name of the directory. */
  id: string;
  kernel: { id: string; name: string };
  vcpus: number;
  memoryMib: number;
  /** VMM, version and accelerator, for people. */
  vmm: string;
  createdAt: number;
}

export const manifestName = "manifest.json";

/** The files of a capture in a template's directory. */
export function captureFiles(directory: string): MachineCapture {
  return { memoryFile: join(directory, "memory.img"), stateFile: join(directory, "state.bin") };
}

/** Makes the captured files durable, then writes the manifest: a template without one is not believed in. */
export async function sealTemplate(directory: string, manifest: TemplateManifest): Promise<void> {
  const { memoryFile, stateFile } = captureFiles(directory);
  for (const path of [memoryFile, stateFile]) {
    await using file = await open(path, "r+");
    await file.chmod(0o600);
    await file.sync();
  }
  await writeFileAtomic(join(directory, manifestName), `${JSON.stringify(manifest)}\n`);
}

export interface TemplateOnDisk {
  manifest: TemplateManifest;
  /** Bytes that its files take on the host. */
  usedBytes: number;
  /** When a start took it the last time: the time of change of its manifest. */
  lastUsedAt: number;
}

/** What lies in a published directory. Undefined when it is no template: a file is missing, or the manifest is of another form. */
export async function readTemplate(directory: string, id: string): Promise<TemplateOnDisk | undefined> {
  const { memoryFile, stateFile } = captureFiles(directory);
  const manifestFile = join(directory, manifestName);
  try {
    const manifest = JSON.parse(await readFile(manifestFile, "utf8")) as Partial<TemplateManifest> | null;
    const [info, memory, state] = await Promise.all([manifestFile, memoryFile, stateFile].map((path) => stat(path)));
    if (manifest?.id !== id || typeof manifest.kernel?.id !== "string" || typeof manifest.memoryMib !== "number")
      return undefined;
    return {
      manifest: manifest as TemplateManifest,
      usedBytes: ((info?.blocks ?? 0) + (memory?.blocks ?? 0) + (state?.blocks ?? 0)) * 512,
      lastUsedAt: Math.round(info?.mtimeMs ?? 0),
    };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof SyntaxError || code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
