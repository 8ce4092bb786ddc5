// The kernels of this host: list, find, import, pull, delete. Content-addressed below the kernels directory.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import type * as v from "valibot";
import type { KernelRecord, catalogEntry } from "../api/records.ts";
import type { Paths } from "../config/paths.ts";
import { openArtifactStore } from "../lib/artifact-store.ts";
import type { ArtifactRow, ArtifactStore, ArtifactTable } from "../lib/artifact-store.ts";
import { BangerError } from "../lib/errors.ts";
import { stagingDirectory } from "../lib/files.ts";
import type { Logger } from "../lib/log.ts";
import type { Progress } from "../lib/progress.ts";
import { run } from "../lib/run.ts";
import { SharedWork } from "../lib/shared-work.ts";
import { downloadKernel, kernelCatalog } from "./catalog.ts";
import { stageKernel } from "./source.ts";

export interface KernelStoreOptions {
  paths: Pick<Paths, "kernelsDir">;
  table: ArtifactTable;
  /** Names of the VMs that use a kernel. */
  usedBy: (id: string) => readonly string[];
  /** Names of the snapshots that use a kernel. */
  snapshotsOf?: (id: string) => readonly string[];
  log: Logger;
}

/** What manifest.json says. The id is the sha256 of the facts about content: all but `source` and the size. */
interface KernelManifest {
  version: string;
  architecture: string;
  kernelSha256: string;
  modulesSha256: string | null;
  source: string;
  sizeBytes: number;
}

export interface KernelStore {
  list(): KernelRecord[];
  /** By name, id or unambiguous prefix; `kernel.not-found` says what there is. */
  resolve(reference: string): KernelRecord;
  /** Refused with `kernel.in-use` while VMs use it. */
  delete(reference: string): Promise<void>;
  /** From a Debian kernel package, or a directory with a kernel and lib/modules. */
  importFrom(options: { path: string; name: string; force?: boolean }, progress: Progress): Promise<KernelRecord>;
  /** From the catalog. Concurrent pulls of one kernel share the work. */
  pull(name: string, options: { force?: boolean }, progress: Progress): Promise<KernelRecord>;
  catalog(): v.InferOutput<typeof catalogEntry>[];
  inCatalog(name: string): boolean;
}

/** Opens the store and removes what a dead process left half made. */
export async function openKernelStore(options: KernelStoreOptions): Promise<KernelStore> {
  const directory = options.paths.kernelsDir;
  const names = () => kernelCatalog.map((recipe) => recipe.name);
  const artifacts = await openArtifactStore({ ...options, kind: "kernel", directory, catalog: names });
  const pulls = new SharedWork<KernelRecord>();
  const record = (row: ArtifactRow) => toRecord(artifacts, row);

  const add = async (
    from: { path: string; source: string; name: string; force: boolean },
    progress: Progress,
  ): Promise<KernelRecord> => {
    await using staging = await stagingDirectory(directory);
    progress.stage("unpack", basename(from.path));
    const staged = await stageKernel(from.path, staging.path, progress.signal);
    progress.stage("store");
    const { sha256: kernelSha256, sizeBytes: kernelBytes } = await digestFile(
      join(staging.path, "kernel"),
      progress.signal,
    );
    const modules = staged.hasModules ? await digestTree(join(staging.path, "lib"), progress.signal) : undefined;
    const manifest: KernelManifest = {
      version: staged.release,
      architecture: staged.file.architecture,
      kernelSha256,
      modulesSha256: modules?.sha256 ?? null,
      source: from.source,
      sizeBytes: kernelBytes + (modules?.sizeBytes ?? 0),
    };
    const facts = [manifest.version, manifest.architecture, manifest.kernelSha256, manifest.modulesSha256];
    const id = createHash("sha256").update(JSON.stringify(facts)).digest("hex");
    // One flush of the file system instead of one for each of the many module files.
    await run({ file: "sync", args: ["-f", staging.path], signal: progress.signal });
    const row = { id, name: from.name, manifest: JSON.stringify(manifest), createdAt: Date.now() };
    return record(await artifacts.add(staging.path, row, from.force));
  };

  return {
    list: () => artifacts.list().map(record),
    resolve: (reference) => record(artifacts.resolve(reference)),
    delete: (reference) => artifacts.delete(reference),
    async importFrom({ path, name, force = false }, progress) {
      artifacts.checkName(name, force);
      const kind = path.endsWith(".deb") ? "deb" : "directory";
      return add({ path, source: `${kind}:${basename(path)}`, name, force }, progress);
    },
    async pull(name, { force = false }, progress) {
      const recipe = kernelCatalog.find((entry) => entry.name === name);
      if (recipe === undefined) {
        throw new BangerError("kernel.not-found", `the catalog has no kernel "${name}": it has ${names().join(", ")}`, {
          hint: "banger kernel catalog",
        });
      }
      artifacts.checkName(name, force);
      return pulls.run(name, progress, async (inner) => {
        await using downloads = await stagingDirectory(directory);
        const path = await downloadKernel(recipe, downloads.path, inner);
        return await add({ path, source: `catalog:${name} (${basename(path)})`, name, force }, inner);
      });
    },
    catalog: () =>
      kernelCatalog.map(({ name, description, architecture }) => ({
        name,
        description,
        architecture,
        present: artifacts.list().some((row) => row.name === name),
      })),
    inCatalog: (name) => names().includes(name),
  };
}

function toRecord(artifacts: ArtifactStore, row: ArtifactRow): KernelRecord {
  const manifest = JSON.parse(row.manifest) as KernelManifest;
  const directory = artifacts.directoryOf(row.id);
  return {
    id: row.id,
    name: row.name,
    version: manifest.version,
    architecture: manifest.architecture,
    source: manifest.source,
    kernelPath: join(directory, "kernel"),
    kernelSha256: manifest.kernelSha256,
    modulesDir: manifest.modulesSha256 === null ? null : directory,
    sizeBytes: manifest.sizeBytes,
    createdAt: row.createdAt,
  };
}

async function digestFile(path: string, signal: AbortSignal): Promise<{ sha256: string; sizeBytes: number }> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash, { signal });
  return { sha256: hash.digest("hex"), sizeBytes: (await lstat(path)).size };
}

/** One digest over the names and contents of all files below a directory. */
async function digestTree(root: string, signal: AbortSignal): Promise<{ sha256: string; sizeBytes: number }> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  for (const file of files.toSorted()) {
    const digest = await digestFile(file, signal);
    hash.update(`${digest.sha256} ${file.slice(root.length + 1)}\n`);
    sizeBytes += digest.sizeBytes;
  }
  return { sha256: hash.digest("hex"), sizeBytes };
}
