// Makes the guest ask for the sizes of its disks: a machine that is restored may have others than the captured one had.
import { BangerError } from "../../lib/errors.ts";
import { diskNodes, serialOfDiskId } from "./arguments.ts";
import type { Control } from "./control.ts";

/** The unit in which a guest is told how large a disk is. */
const sectorBytes = 512;

/** See `Machine.announceDisks`. */
export async function announceDisks(control: Control): Promise<void> {
  const answer = await control.command("query-block");
  for (const entry of Array.isArray(answer) ? (answer as BlockEntry[]) : []) {
    const serial = typeof entry.device === "string" ? serialOfDiskId(entry.device) : undefined;
    if (serial === undefined) continue;
    const { file, ro } = entry.inserted ?? {};
    const size = entry.inserted?.image?.["virtual-size"];
    if (typeof file !== "string" || typeof size !== "number") {
      throw new BangerError("vmm.failed", `the VMM does not say which file disk "${serial}" is`);
    }
    if (ro === true) await openForWriting(control, serial, file);
    await control.command("block_resize", { device: entry.device, size: size + sectorBytes });
  }
}

/** The disk stays read-only for the guest, but QEMU changes the size of no file that it only reads. */
async function openForWriting(control: Control, serial: string, path: string): Promise<void> {
  const { image, file } = diskNodes(serial);
  const below = { driver: "file", "node-name": file, filename: path, "read-only": false };
  const options = [{ driver: "raw", "node-name": image, file: below, "read-only": false }];
  await control.command("blockdev-reopen", { options });
}

/** Of an entry of the answer to query-block, what is used here. */
interface BlockEntry {
  device?: unknown;
  inserted?: { file?: unknown; ro?: unknown; image?: { "virtual-size"?: unknown } };
}
