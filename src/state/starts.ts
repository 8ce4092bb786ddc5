// Table of the last starts: what `banger stats` sums up.
import type { DatabaseSync } from "node:sqlite";
import type { StartRecord } from "../api/records.ts";

/** As many of each kind are kept. */
const keptOfKind = 200;

export interface StartTable {
  add(record: StartRecord): void;
  /** Newest first, at most 200 of each kind. */
  list(): StartRecord[];
}

export function startTable(database: DatabaseSync): StartTable {
  return {
    add(record) {
      database.prepare("INSERT INTO starts (kind, record) VALUES (?, ?)").run(record.kind, JSON.stringify(record));
      database
        .prepare(
          "DELETE FROM starts WHERE kind = ?1 AND id <= (SELECT id FROM starts WHERE kind = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )
        .run(record.kind, keptOfKind);
    },
    list: () =>
      database
        .prepare("SELECT record FROM starts ORDER BY id DESC")
        .all()
        .map((raw) => JSON.parse(String(raw["record"])) as StartRecord),
  };
}
