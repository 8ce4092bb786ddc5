// Kernels that can be pulled from the distribution's mirror, with the host's own apt configuration and without root.
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { BangerError, diskFull } from "../lib/errors.ts";
import type { Progress } from "../lib/progress.ts";
import { findTool, run } from "../lib/run.ts";

export interface KernelRecipe {
  name: string;
  description: string;
  architecture: string;
  /** Package that depends on the newest kernel package. */
  metaPackage: string;
}

const architecture = process.arch === "arm64" ? "arm64" : "amd64";

export const kernelCatalog: readonly KernelRecipe[] = [
  {
    name: "debian-bookworm-cloud",
    description: "Debian's kernel for virtual machines (linux-image-cloud)",
    architecture,
    metaPackage: `linux-image-cloud-${architecture}`,
  },
];

/**
 * Downloads the package of a recipe into `directory`; apt checks its signature chain and digest. Package lists of the
 * host are used when they know the package, else private ones are fetched below `directory`.
 */
export async function downloadKernel(recipe: KernelRecipe, directory: string, progress: Progress): Promise<string> {
  const { signal } = progress;
  if (findTool("apt-get") === undefined) {
    throw new BangerError(
      "command.missing",
      `kernel "${recipe.name}" is fetched with apt-get, which is not installed`,
      {
        hint: "banger kernel import <a .deb file, or a directory with vmlinuz and lib/modules> --name <name>",
      },
    );
  }
  progress.stage("download", recipe.metaPackage);
  const hostLists = ["-o", "APT::Sandbox::User=root"];
  const own = join(directory, "apt");
  const ownLists = [
    ...hostLists,
    ...["-o", `Dir::State::lists=${join(own, "lists")}`, "-o", `Dir::Cache=${join(own, "cache")}`],
    ...["-o", "Debug::NoLocking=1"],
  ];
  let options = hostLists;
  let name = await findPackage(recipe, options, signal);
  if (name === undefined) {
    progress.stage("download", "package lists");
    options = ownLists;
    await mkdir(join(own, "lists", "partial"), { recursive: true });
    await mkdir(join(own, "cache", "archives", "partial"), { recursive: true });
    await fetching(recipe, "update", () => run({ file: "apt-get", args: [...options, "-q", "update"], signal }));
    name = await findPackage(recipe, options, signal);
  }
  if (name === undefined) {
    throw new BangerError("kernel.fetch-failed", `apt knows no package "${recipe.metaPackage}"`, {
      hint: "sudo apt-get update",
    });
  }
  const chosen = name;
  progress.stage("download", chosen);
  await fetching(recipe, chosen, () =>
    run({ file: "apt-get", args: [...options, "-q", "download", chosen], cwd: directory, signal }),
  );
  const file = (await readdir(directory)).find((entry) => entry.endsWith(".deb"));
  if (file === undefined) throw new BangerError("kernel.fetch-failed", `apt-get left no package of "${chosen}"`);
  return join(directory, file);
}

/** The newest kernel package that the recipe's package depends on; undefined when the lists do not know it. */
async function findPackage(
  recipe: KernelRecipe,
  options: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const args = [...options, "depends", "--important", recipe.metaPackage];
  const { stdout } = await run({ file: "apt-cache", args, okExitCodes: [0, 100], signal });
  return /^\s*Depends: (linux-image-[\w.+~-]+)$/m.exec(stdout.toString())?.[1];
}

async function fetching(recipe: KernelRecipe, what: string, body: () => Promise<unknown>): Promise<void> {
  try {
    await body();
  } catch (error) {
    if (!(error instanceof BangerError) || error.code !== "command.failed") throw error;
    if (/No space left on device|not enough free space/i.test(error.message)) {
      throw diskFull(`no space left to download kernel "${recipe.name}"`, error);
    }
    throw new BangerError("kernel.fetch-failed", `cannot download kernel "${recipe.name}" (${what})`, {
      cause: error,
      hint: "sudo apt-get update",
    });
  }
}
