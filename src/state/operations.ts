// Table of operations: kept so that a client that comes back, also after a restart of the daemon, learns how its work ended.
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import type { Operation } from "../api/records.ts";

export interface OperationTable {
  /** Inserts or replaces. Each call is a commit: save changes of stage, not every byte of progress. */
  save(operation: Operation): void;
  get(id: string): Operation | undefined;
  /** Newest first. */
  list(): Operation[];
  /**
   * Ends every operation that is not done, with operation.interrupted, and returns them as they are now. For the start of the
   * daemon: then none can be its own.
   */
  markInterrupted(nowMs: number): Operation[];
  /** Forgets operations that ended before `timeMs` (since 1970); returns how many. */
  removeOlderThan(timeMs: number): number;
}

export function operationTable(database: DatabaseSync): OperationTable {
  const save = (operation: Operation) => {
    database
      .prepare(
        `INSERT INTO operations (id, done, started_at, updated_at, record) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET done = excluded.done, updated_at = excluded.updated_at, record = excluded.record`,
      )
      .run(operation.id, Number(operation.done), operation.startedAt, operation.updatedAt, JSON.stringify(operation));
  };
  return {
    save,
    get(id) {
      const raw = database.prepare("SELECT record FROM operations WHERE id = ?").get(id);
      return raw === undefined ? undefined : fromRaw(raw);
    },
    list: () =>
      database.prepare("SELECT record FROM operations ORDER BY started_at DESC, rowid DESC").all().map(fromRaw),
    markInterrupted(nowMs) {
      const open = database
        .prepare("SELECT record FROM operations WHERE done = 0 ORDER BY started_at")
        .all()
        .map(fromRaw);
      const ended = open.map((operation) => interrupted(operation, nowMs));
      ended.forEach(save);
      return ended;
    },
    removeOlderThan: (timeMs) =>
      Number(database.prepare("DELETE FROM operations WHERE done = 1 AND updated_at < ?").run(timeMs).changes),
  };
}

function interrupted(operation: Operation, nowMs: number): Operation {
  return {
    ...operation,
    updatedAt: nowMs,
    done: true,
    error: {
      code: "operation.interrupted",
      message: `${operation.kind} of "${operation.target}" was interrupted: the daemon ended before it was done`,
      hint: "banger daemon status",
      operation: operation.id,
    },
  };
}

function fromRaw(raw: Record<string, SQLOutputValue>): Operation {
  return JSON.parse(String(raw["record"])) as Operation;
}
