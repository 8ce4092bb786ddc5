// Which modules a guest loads before it has a root, and in which order: the drivers we need plus what they depend on.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { BangerError } from "../lib/errors.ts";
import { parseModinfo, readModule } from "./modinfo.ts";

/** "channel" brings the control channel up; "device" holds disks, network and file systems (docs/agent-wire.md). */
export type ModulePhase = "channel" | "device";

export interface PlannedModule {
  name: string;
  phase: ModulePhase;
  /** Plain ELF bytes. */
  data: Buffer;
}

const wanted: readonly [ModulePhase, string][] = [
  ["channel", "virtio"],
  ["channel", "virtio_ring"],
  ["channel", "virtio_mmio"],
  ["channel", "virtio_console"],
  ["device", "virtio_net"],
  ["device", "virtio_blk"],
  ["device", "ext4"],
  ["device", "overlay"],
];

/**
 * Modules in load order: every module after those it depends on. Built-in ones are left out. `treeDir` is
 * lib/modules/<release>. Throws `kernel.invalid` when a driver is neither a module nor built in.
 */
export async function planModules(treeDir: string, signal: AbortSignal): Promise<PlannedModule[]> {
  const files = await indexModules(treeDir);
  const builtin = await readBuiltin(treeDir);
  const plan = new Map<string, PlannedModule>();
  const visiting = new Set<string>();

  const visit = async (name: string, phase: ModulePhase, needs: string, optional: boolean): Promise<void> => {
    if (plan.has(name) || visiting.has(name)) return;
    const file = files.get(name);
    if (file === undefined) {
      // Without the list of built-in drivers, what is no module counts as built in.
      if (optional || builtin === undefined || builtin.has(name)) return;
      throw new BangerError(
        "kernel.invalid",
        `the kernel has no driver "${name}", which ${needs} needs ("${treeDir}")`,
      );
    }
    visiting.add(name);
    const data = await readModule(file, signal);
    for (const [key, value] of parseModinfo(data, file)) {
      if (key === "depends") {
        for (const dependency of splitNames(value)) await visit(dependency, phase, `"${name}"`, false);
      } else if (key === "softdep") {
        const before = /(?:^|\s)pre:\s*(.*?)(?:\s*post:.*)?$/.exec(value)?.[1] ?? "";
        for (const dependency of splitNames(before)) await visit(dependency, phase, `"${name}"`, true);
      }
    }
    plan.set(name, { name, phase, data });
  };
  for (const [phase, name] of wanted) await visit(name, phase, "every guest", false);
  return [...plan.values()];
}

/** Text of the list that the agent reads: "<phase> <absolute path>" in load order. */
export function modulesList(plan: readonly PlannedModule[]): string {
  return plan.map((module) => `${module.phase} ${modulePath(module)}\n`).join("");
}

/** Where a module lies in the initramfs. */
export function modulePath(module: PlannedModule): string {
  return `/lib/modules/banger/${module.name}.ko`;
}

/** The kernel takes "-" and "_" in module names for the same. */
function canonical(name: string): string {
  return name.replaceAll("-", "_");
}

function splitNames(text: string): string[] {
  return text
    .split(/[\s,]+/)
    .filter((name) => name !== "")
    .map(canonical);
}

async function indexModules(treeDir: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const entry of await readdir(treeDir, { recursive: true, withFileTypes: true })) {
    const name = /^(.+)\.ko(?:\.gz|\.xz|\.zst)?$/.exec(entry.name)?.[1];
    if (name !== undefined && entry.isFile()) files.set(canonical(name), join(entry.parentPath, entry.name));
  }
  return files;
}

async function readBuiltin(treeDir: string): Promise<Set<string> | undefined> {
  try {
    const text = await readFile(join(treeDir, "modules.builtin"), "utf8");
    return new Set(text.split("\n").map((line) => canonical(/([^/]+)\.ko$/.exec(line.trim())?.[1] ?? "")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
