// Another name, other labels.
import { crashPoint } from "../lib/crash-point.ts";
import { BangerError } from "../lib/errors.ts";
import type { VmRow, VmTable } from "../state/vms.ts";
import { checkName } from "./spec.ts";

const maxLabels = 64;

/** Throws `vm.name-invalid`, `vm.name-taken`. A running guest keeps its host name until its next start. */
export function renameVm(table: VmTable, row: VmRow, name: string): void {
  checkName(name, `banger vm rename ${row.name}`);
  if (name !== row.name) table.update(row.id, { name });
  crashPoint("rename.recorded");
}

/** `remove` first, so that a label can be moved to another value in one call. Throws `vm.spec-invalid` when there are too many. */
export function labelVm(
  table: VmTable,
  row: VmRow,
  { set = {}, remove = [] }: { set?: Record<string, string> | undefined; remove?: readonly string[] | undefined },
): void {
  const gone = new Set(remove);
  const labels = { ...Object.fromEntries(Object.entries(row.labels).filter(([key]) => !gone.has(key))), ...set };
  if (Object.keys(labels).length > maxLabels) {
    throw new BangerError("vm.spec-invalid", `VM "${row.name}" can have ${maxLabels} labels`);
  }
  table.update(row.id, { labels });
  crashPoint("label.recorded");
}
