// Brings a database forward, one numbered file after the other, each in its own transaction together with the new number.
import type { DatabaseSync } from "node:sqlite";
import { sql as things } from "./migrations/0001-things.ts";
import { sql as operations } from "./migrations/0002-operations.ts";
import { sql as snapshots } from "./migrations/0003-snapshots.ts";
import { sql as fingerprints } from "./migrations/0004-fingerprints.ts";
import { sql as inits } from "./migrations/0005-inits.ts";
import { sql as surface } from "./migrations/0006-surface.ts";
import { sql as workspaces } from "./migrations/0007-workspaces.ts";
import { sql as network } from "./migrations/0008-network.ts";
import { sql as networks } from "./migrations/0009-networks.ts";

/** Entry n leads from schema n to schema n + 1. Entries are only ever added; a released one is never edited. */
export const migrations: readonly string[] = [
  things,
  operations,
  snapshots,
  fingerprints,
  inits,
  surface,
  workspaces,
  network,
  networks,
];

/** "bngr": marks a SQLite file as ours. */
export const applicationId = 0x626e6772;

export function schemaVersion(database: DatabaseSync): number {
  return numberPragma(database, "user_version");
}

/** One value of a numeric pragma. */
export function numberPragma(database: DatabaseSync, name: string): number {
  return Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
}

/**
 * Runs what is missing of `steps`. When one fails, its transaction is rolled back and the database stays at the schema before it.
 * Two processes may do this at once: each step takes the write lock first and then looks whether it is still missing.
 */
export function migrate(database: DatabaseSync, steps: readonly string[] = migrations): void {
  for (const [from, sql] of steps.entries()) {
    database.exec("BEGIN IMMEDIATE");
    try {
      if (schemaVersion(database) === from) {
        database.exec(sql);
        database.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${from + 1}`);
      }
      database.exec("COMMIT");
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
  }
}
