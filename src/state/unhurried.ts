// Writes that do not wait for the disk. Whoever commits stops the daemon's own thread until the disk has the log, which takes tens of
// milliseconds while an image is written. What a crash of the daemon must not lose is in the log before that; only a power cut can take it.
import { open } from "node:fs/promises";
import type { DatabaseSync } from "node:sqlite";

/** The same table, without the wait. In a transaction of somebody else it is that one's commit that waits. */
export function unhurried<T extends object>(database: DatabaseSync, table: T): T {
  const hasty = Object.entries(table).map(([name, method]: [string, (...args: unknown[]) => unknown]) => [
    name,
    (...args: unknown[]) => {
      if (database.isTransaction) return method(...args);
      database.exec("PRAGMA synchronous = NORMAL");
      try {
        return method(...args);
      } finally {
        database.exec("PRAGMA synchronous = FULL");
      }
    },
  ]);
  return Object.fromEntries(hasty) as T;
}

/** Resolves when all that was committed until now survives a power cut. `file` is the database's; only other threads wait for the disk. */
export async function settled(file: string): Promise<void> {
  let log;
  try {
    log = await open(`${file}-wal`, "r");
  } catch (error) {
    // No log: the database itself has everything, and reached the disk when the log went.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    await log.sync();
  } finally {
    await log.close();
  }
}
