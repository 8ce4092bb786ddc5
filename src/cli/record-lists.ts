// What "image" and "kernel" print alike: catalogs.
import type { ResultOf } from "../api/methods.ts";
import type { CliContext } from "./context.ts";
import { formatTable } from "./output/table.ts";

type CatalogEntries = ResultOf<"image.catalog">["entries"];

/** The catalog as a table, as names with --quiet, as an array with --json. */
export function printCatalog({ terminal }: CliContext, entries: CatalogEntries): void {
  if (terminal.json) return terminal.printJson(entries);
  if (terminal.quiet) return entries.forEach((entry) => terminal.print(entry.name));
  terminal.print(
    formatTable(
      ["name", "arch", "pulled", "description"],
      entries.map((entry) => [entry.name, entry.architecture, entry.present ? "yes" : "no", entry.description]),
    ),
  );
}
