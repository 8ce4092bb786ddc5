// Table of networks that VMs can be in together. Who is in which stands with the VMs.
import type { DatabaseSync } from "node:sqlite";

export interface NetworkRow {
  name: string;
  createdAt: number;
}

export interface NetworkTable {
  /** False when it is there already. */
  insert(row: NetworkRow): boolean;
  /** By name. */
  list(): NetworkRow[];
  /** False when there was none. */
  remove(name: string): boolean;
}

export function networkTable(database: DatabaseSync): NetworkTable {
  return {
    insert: ({ name, createdAt }) =>
      database.prepare("INSERT OR IGNORE INTO networks (name, created_at) VALUES (?, ?)").run(name, createdAt)
        .changes === 1,
    list: () =>
      database
        .prepare("SELECT name, created_at FROM networks ORDER BY name")
        .all()
        .map((raw) => ({ name: String(raw["name"]), createdAt: Number(raw["created_at"]) })),
    remove: (name) => database.prepare("DELETE FROM networks WHERE name = ?").run(name).changes === 1,
  };
}
