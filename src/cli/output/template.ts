// `--format '{{.name}} {{.spec.memoryMib}}'`: a line for each record, with fields of its JSON in double braces.
import { BangerError } from "../../lib/errors.ts";
import { printableLine } from "./sanitise.ts";

const field = /\{\{\s*\.([A-Za-z_][\w.]*)\s*\}\}/g;

/** Writes records by a template. Throws `usage` for braces that name no field. `\t` and `\n` in it are a tab and a new line. */
export function lineFormat(template: string): (record: object) => string {
  const rest = template.replaceAll(field, "");
  if (rest === template) {
    throw new BangerError(
      "usage",
      `--format "${template}" names no field: write them as {{.name}}; for JSON there is --json`,
    );
  }
  if (rest.includes("{{") || rest.includes("}}")) {
    throw new BangerError("usage", `--format "${template}": write fields as {{.name}}, as they stand in --json`);
  }
  const text = template.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  return (record) => text.replace(field, (_whole, path: string) => show(path, record));
}

function show(path: string, record: object): string {
  let value: unknown = record;
  for (const step of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) {
      // Labels and the like need not be there; a field of the record itself must be.
      if (value !== record) return "";
      const known = Object.keys(record).join(", ");
      throw new BangerError("usage", `--format: a record has no field "${path}"; it has ${known}`);
    }
    value = (value as Record<string, unknown>)[step];
  }
  if (value === null || value === undefined) return "";
  if (typeof value === "object") return JSON.stringify(value);
  // A line stays one, whatever a reason says.
  return typeof value === "string" ? printableLine(value) : JSON.stringify(value);
}
