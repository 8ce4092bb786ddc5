// A template on the disk: one directory, named by its fingerprint, with guest memory, device state and what it was made of; that of an
// image also with the recipes of its two writable disks.
import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { TemplateRecord } from "../../api/records.ts";
import { writeFileAtomic } from "../../lib/files.ts";
import type { MachineCapture } from "../../vmm/driver.ts";
import type { TemplateUse } from "../context.ts";

export interface TemplateManifest {
  /** Fingerprint of its machines (src/vm/fingerprint.ts): 64 hex digits, and the name of the directory. */
  id: string;
  kernel: { id: string; name: string };
  vcpus: number;
  memoryMib: number;
  /** Null: it fits every image. */
  root: TemplateRecord["root"];
  /** VMM, version and accelerator, for people. */
  vmm: string;
  createdAt: number;
}

export const manifestName = "manifest.json";

/** The files of a capture in a template's directory. */
export function captureFiles(directory: string): MachineCapture {
  return { memoryFile: join(directory, "memory.img"), stateFile: join(directory, "state.bin") };
}

/** The recipes of a template of an image in its directory. */
export function recipeFiles(directory: string): NonNullable<TemplateUse["disks"]> {
  return { overlay: join(directory, "overlay.recipe"), work: join(directory, "work.recipe") };
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
    if (manifest?.id !== id || typeof manifest.kernel?.id !== "string" || typeof manifest.memoryMib !== "number")
      return undefined;
    const { root = null } = manifest;
    const recipes = root === null ? [] : Object.values(recipeFiles(directory));
    const files = await Promise.all([manifestFile, memoryFile, stateFile, ...recipes].map((path) => stat(path)));
    return {
      // Those of older versions say nothing of a root.
      manifest: { ...(manifest as TemplateManifest), root },
      usedBytes: files.reduce((sum, { blocks }) => sum + blocks * 512, 0),
      lastUsedAt: Math.round(files[0]?.mtimeMs ?? 0),
    };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof SyntaxError || code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
