// A lock that the kernel frees when its process dies, however it dies: the file lock of a SQLite transaction that never ends.
import { closeSync, existsSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { fromSqlite, isBusy } from "./sqlite-error.ts";

/**
 * Takes the lock, or returns undefined at once when another process (or this one) holds it. Dispose frees it; the file stays.
 * The process must not open the file in another way while it holds the lock: closing any descriptor of it would free the lock.
 */
export function acquireProcessLock(file: string): Disposable | undefined {
  if (!existsSync(file)) closeSync(openSync(file, "a", 0o600));
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: 0 });
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (error) {
    database?.close();
    if (isBusy(error)) return undefined;
    throw fromSqlite(error, file);
  }
  const held = database;
  return {
    [Symbol.dispose]: () => {
      if (held.isOpen) held.close();
    },
  };
}
