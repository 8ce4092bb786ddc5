// The writable disks of a VM before a start. One that has never started may come from a template of its image: then its disks are made as
// they were when that was captured.
import type { ImageRecord } from "../api/records.ts";
import { exists, makeDisk } from "../disk/blank.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { BangerError } from "../lib/errors.ts";
import type { VmRow } from "../state/vms.ts";
import type { FreshRoot, TemplateShape, TemplateUse, VmContext } from "./context.ts";
import { vmDisk, writableSerials } from "./disk-files.ts";
import { rootFingerprint } from "./fingerprint.ts";
import { ensureBlankDisks } from "./machine-spec.ts";

export interface PreparedDisks {
  /** The template of which the disks were made; the caller disposes of it. */
  own?: TemplateUse;
  /** What such a template is to be asked for by; absent for a VM whose disks were there. */
  root?: Pick<TemplateShape, "fingerprint"> & { root: FreshRoot & { shape: string } };
}

/**
 * Makes the disks of a VM that rests on no snapshot, unless they are there: of a template of its image, or blank when there is none or
 * `cold` asks for a boot. `shape` is the fingerprint of its machine. A template whose disks are damaged is removed. Throws as
 * `ensureBlankDisks` does.
 */
export async function prepareDisks(
  context: Pick<VmContext, "paths" | "templates" | "log">,
  row: VmRow,
  options: { image: ImageRecord; shape: string; cold: boolean; signal: AbortSignal },
): Promise<PreparedDisks> {
  const { image, shape, cold, signal } = options;
  const root = (await isFresh(context, row)) ? await freshRoot(row, image, shape) : undefined;
  const own = root === undefined || cold ? undefined : context.templates.take(root.fingerprint);
  const made = own !== undefined && (await makeDisksOf(context, row, own, signal));
  if (!made) await ensureBlankDisks(context, row, { signal });
  crashPoint("start.disks-made");
  return { ...(made && { own }), ...(root && { root }) };
}

/** Disks that are there may have been written to, also by a start that a killed daemon did not see the end of. */
async function isFresh({ paths }: Pick<VmContext, "paths">, row: VmRow): Promise<boolean> {
  if (row.baseSnapshotId !== null) return false;
  const present = await Promise.all(writableSerials.map((serial) => exists(vmDisk(paths, row, serial).path)));
  return !present.includes(true);
}

async function freshRoot(row: VmRow, image: ImageRecord, shape: string): Promise<PreparedDisks["root"]> {
  const { overlayBytes, diskBytes } = row.spec;
  const root = { image, overlayBytes, diskBytes, shape };
  try {
    return { fingerprint: await rootFingerprint(shape, root), root };
  } catch {
    // Its file is gone: the start says so.
    return undefined;
  }
}

/** False, and the template is let go, when it is damaged. */
async function makeDisksOf(
  { paths, templates, log }: Pick<VmContext, "paths" | "templates" | "log">,
  row: VmRow,
  own: TemplateUse,
  signal: AbortSignal,
): Promise<boolean> {
  const { disks } = own;
  if (disks === undefined) throw new BangerError("internal", `the template ${own.id} is of no image`);
  const made = await Promise.allSettled(
    writableSerials.map((serial) => makeDisk(vmDisk(paths, row, serial).path, disks[serial], signal)),
  );
  const failure = made.find((one) => one.status === "rejected");
  if (failure === undefined && made.every((one) => one.status === "fulfilled" && one.value)) return true;
  own[Symbol.dispose]();
  if (failure !== undefined) throw failure.reason;
  const reason = new BangerError("template.failed", "the disks in the template are damaged");
  log.warn("a template of an image cannot be used", { vm: row.id, template: own.id, reason: reason.message });
  await templates.discard(own.id, reason);
  return false;
}
