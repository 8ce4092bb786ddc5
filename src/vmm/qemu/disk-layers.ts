// The files behind the disks of a running machine: which they are, how they get new ones on top, and how they get larger.
import { isAbsolute, resolve } from "node:path";
import { BangerError } from "../../lib/errors.ts";
import { diskId, serialOfDiskId } from "./arguments.ts";
import { readBlockGraph } from "./block-graph.ts";
import type { Control } from "./control.ts";

/** Name of the node that a disk is written to since `switchDisks` with this base. */
export const layerNode = (serial: string, base: string) => `${serial}-${base}`;

/** See `Machine.switchDisks`. */
export async function switchDisks(
  control: Control,
  vmId: string,
  base: string,
  tops: readonly { serial: string; path: string }[],
): Promise<void> {
  const actions = tops.map(({ serial, path }) => {
    if (!isAbsolute(path)) throw new BangerError("internal", `"${path}" is not an absolute path`);
    const layer = { "snapshot-file": path, "snapshot-node-name": layerNode(serial, base), format: "qcow2" };
    return { type: "blockdev-snapshot-sync", data: { device: diskId(serial), ...layer, mode: "existing" } };
  });
  try {
    await control.command("transaction", { actions });
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new BangerError("snapshot.failed", `the disks of "${vmId}" did not get new layers: ${words}`, { cause });
  }
}

/** See `Machine.activeDisks`. `dir` is the working directory of QEMU. */
export async function activeDisks(control: Control, dir: string): Promise<Map<string, string>> {
  const disks = new Map<string, string>();
  const answer = await control.command("query-block");
  for (const entry of Array.isArray(answer) ? (answer as unknown[]) : []) {
    const { device, inserted } = (entry ?? {}) as { device?: unknown; inserted?: unknown };
    const serial = typeof device === "string" ? serialOfDiskId(device) : undefined;
    const { file, ro } = (inserted ?? {}) as { file?: unknown; ro?: unknown };
    if (serial === undefined || ro !== false) continue;
    const path = pathOf(file) ?? (await pathInGraph(control, diskId(serial)));
    if (path === undefined) {
      throw new BangerError("vmm.failed", `the VMM does not say which file disk "${serial}" is`);
    }
    disks.set(serial, resolve(dir, path));
  }
  return disks;
}

/** See `Machine.growDisk`. QEMU would also make a disk smaller. */
export async function growDisk(control: Control, serial: string, sizeBytes: number): Promise<number> {
  const device = diskId(serial);
  const answer = await control.command("query-block");
  const entries = Array.isArray(answer) ? (answer as BlockInfo[]) : [];
  const now = entries.find((entry) => entry.device === device)?.inserted?.image?.["virtual-size"];
  if (typeof now !== "number")
    throw new BangerError("vmm.failed", `the VMM does not say how large disk "${serial}" is`);
  if (now >= sizeBytes) return now;
  await control.command("block_resize", { device, size: sizeBytes });
  return sizeBytes;
}

/** Of an entry in the answer to query-block, what is used there. */
interface BlockInfo {
  device?: unknown;
  inserted?: { image?: { "virtual-size"?: unknown } };
}

/** QEMU describes a layer with its whole chain when what is below it was opened by another path than the one in its header. */
function pathOf(file: unknown): string | undefined {
  if (typeof file !== "string") return undefined;
  if (!file.startsWith("json:")) return file;
  try {
    const layer = JSON.parse(file.slice("json:".length)) as { file?: { filename?: unknown } } | null;
    const path = layer?.file?.filename;
    return typeof path === "string" ? path : undefined;
  } catch {
    return undefined;
  }
}

/** For long chains, whose description QEMU cuts off: from the disk along the edges of the block graph to the node of its file. */
async function pathInGraph(control: Control, disk: string): Promise<string | undefined> {
  const graph = await readBlockGraph(control);
  const top = graph.child(graph.disk(disk), "root");
  const name = graph.nameOf(graph.child(top, "file"));
  const named = await control.command("query-named-block-nodes", { flat: true });
  const found = (Array.isArray(named) ? (named as NamedNode[]) : []).find((node) => node["node-name"] === name);
  return name !== undefined && found?.drv === "file" && typeof found.file === "string" ? found.file : undefined;
}

interface NamedNode {
  "node-name"?: unknown;
  drv?: unknown;
  file?: unknown;
}
