// Catalogs of images and kernels, as they are printed.
import type { ResultOf } from "../api/methods.ts";
import type { CliContext } from "./context.ts";
import { formatBytes } from "../lib/units.ts";
import { formatTable } from "./output/table.ts";

type ImageEntries = ResultOf<"image.catalog">["entries"];
type KernelEntries = ResultOf<"kernel.catalog">["entries"];

/** As a table, as names with --quiet, as an array with --json. */
export function printImageCatalog(context: CliContext, entries: ImageEntries): void {
  const rows = entries.map((entry) => [
    entry.name,
    entry.present ? "yes" : "no",
    entry.reference ?? "(built of packages)",
    entry.digest?.slice(entry.digest.indexOf(":") + 1).slice(0, 12) ?? "-",
    entry.downloadBytes === null ? "-" : formatBytes(entry.downloadBytes),
    entry.description,
  ]);
  print(context, entries, ["name", "pulled", "from", "digest", "download", "description"], rows);
}

/** As a table, as names with --quiet, as an array with --json. */
export function printKernelCatalog(context: CliContext, entries: KernelEntries): void {
  const rows = entries.map((entry) => [
    entry.name,
    entry.architecture,
    entry.present ? "yes" : "no",
    entry.description,
  ]);
  print(context, entries, ["name", "arch", "pulled", "description"], rows);
}

function print({ terminal }: CliContext, entries: KernelEntries, columns: string[], rows: string[][]): void {
  if (terminal.json) return terminal.printJson(entries);
  if (terminal.quiet) return entries.forEach((entry) => terminal.print(entry.name));
  terminal.print(formatTable(columns, rows));
}
