// Shortens the chain of layers that a running machine has open, without a copy: a whole file takes the place of all that is below one of
// its layers. The layers that were merged are deleted on the disk by then; until QEMU closes them they take room, and its time at each new one.
import { isAbsolute } from "node:path";
import { BangerError } from "../../lib/errors.ts";
import { readBlockGraph } from "./block-graph.ts";
import type { Control } from "./control.ts";
import { layerNode } from "./disk-layers.ts";

/** Names the node of a whole file: the next rebase finds it by this, and closes it. */
const wholeNode = (serial: string, base: string) => `${layerNode(serial, base)}-whole`;
const isWholeOf = (serial: string, name: string) => name.startsWith(`${serial}-`) && name.endsWith("-whole");

/** See `Machine.rebaseDisks`. */
export async function rebaseDisks(
  control: Control,
  base: string,
  wholes: readonly { serial: string; path: string }[],
): Promise<void> {
  for (const { serial, path } of wholes) {
    if (!isAbsolute(path)) throw new BangerError("internal", `"${path}" is not an absolute path`);
    const graph = await readBlockGraph(control);
    const layer = graph.node(layerNode(serial, base));
    if (layer === undefined) continue;
    const whole = wholeNode(serial, base);
    const file = { driver: "file", filename: path, "read-only": true };
    await control.command("blockdev-add", { "node-name": whole, driver: "raw", "read-only": true, file });
    try {
      // All options of the node have to be said again.
      const options = {
        "node-name": layerNode(serial, base),
        driver: "qcow2",
        discard: "unmap",
        "read-only": !graph.isTop(layer),
        file: graph.nameOf(graph.child(layer, "file")),
        backing: whole,
      };
      await control.command("blockdev-reopen", { options: [options] });
    } catch (error) {
      await control.command("blockdev-del", { "node-name": whole });
      throw error;
    }
    // Layers end with the last one above them; what was added by name does not.
    for (const former of graph.names.filter((name) => isWholeOf(serial, name))) {
      await control.command("blockdev-del", { "node-name": former });
    }
  }
}
