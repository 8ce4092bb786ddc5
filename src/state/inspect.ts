// Looks at a database without changing it: before it is opened for writing, and for doctor.
import { existsSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { BangerError } from "../lib/errors.ts";
import { applicationId, migrations, numberPragma, schemaVersion } from "./migrate.ts";
import { fromSqlite, unreadable } from "./sqlite-error.ts";

export interface StateReport {
  /** 0 when there is no database yet. */
  schema: number;
  /** The schema that this version of banger writes. */
  currentSchema: number;
  vms: number;
  images: number;
  kernels: number;
}

/**
 * Reads what a database holds; never migrates, never writes to it. A missing or empty file is a database with nothing in it.
 * Throws state.newer when a newer banger wrote it, state.unreadable when it is damaged or not ours.
 */
export function inspectState(file: string): StateReport {
  const currentSchema = migrations.length;
  if (!existsSync(file) || statSync(file).size === 0)
    return { schema: 0, currentSchema, vms: 0, images: 0, kernels: 0 };
  try {
    const database = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
    try {
      const schema = schemaVersion(database);
      const tables = numberPragma(database, "schema_version");
      // A fresh database that nobody got to migrate yet has neither tables nor the mark.
      if (schema === 0 && tables === 0) return { schema, currentSchema, vms: 0, images: 0, kernels: 0 };
      if (numberPragma(database, "application_id") !== applicationId) {
        throw unreadable(file, "it is a database of another program");
      }
      if (schema > currentSchema) throw newer(file, schema, currentSchema);
      const [problem] = Object.values(database.prepare("PRAGMA quick_check(1)").get() ?? {});
      if (problem !== "ok") throw unreadable(file, String(problem));
      const count = (table: string) => Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"]);
      return { schema, currentSchema, vms: count("vms"), images: count("images"), kernels: count("kernels") };
    } finally {
      database.close();
    }
  } catch (error) {
    throw fromSqlite(error, file);
  }
}

function newer(file: string, schema: number, currentSchema: number): BangerError {
  return new BangerError(
    "state.newer",
    `the database "${file}" was written by a newer banger: it has schema ${schema}, this version knows ${currentSchema}`,
    { hint: `install the newer banger again, or: BANGER_HOME=<directory> banger …  # starts apart from it` },
  );
}
