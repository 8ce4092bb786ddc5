// Opens the database of the daemon. What is in it is intent (VMs, images, kernels, operations); nothing else imports node:sqlite.
import { chmodSync, closeSync, existsSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { inspectState } from "./inspect.ts";
import { type ManifestTable, manifestTable } from "./manifests.ts";
import { migrate, migrations } from "./migrate.ts";
import { type NetworkTable, networkTable } from "./networks.ts";
import { type OperationTable, operationTable } from "./operations.ts";
import { type SnapshotTable, snapshotTable } from "./snapshots.ts";
import { fromSqlite, isBusy } from "./sqlite-error.ts";
import { type StartTable, startTable } from "./starts.ts";
import { settled, unhurried } from "./unhurried.ts";
import { type VmTable, vmTable } from "./vms.ts";

/** Nothing of it waits for the disk but `settled`: when it resolves, all that was written survives a power cut. */
export type ArtifactTable = ManifestTable & { settled(): Promise<void> };

export interface State extends Disposable {
  readonly networks: NetworkTable;
  readonly vms: VmTable;
  readonly images: ArtifactTable;
  readonly kernels: ArtifactTable;
  readonly operations: OperationTable;
  readonly snapshots: SnapshotTable;
  readonly starts: StartTable;
  /** All of `body` or nothing: what it wrote is undone when it throws. Synchronous, and may be nested. */
  transaction<T>(body: () => T): T;
}

export interface OpenOptions {
  /** Keep a copy `<file>.v<schema>.bak` before an older database is brought forward. Default true. */
  backup?: boolean;
}

const busyTimeoutMs = 5000;

/**
 * Opens, or makes, the database; brings an older one forward. The file is 0600. Dispose closes it.
 * Throws state.newer and state.unreadable, and leaves the file as it was then.
 */
export function openState(file: string, options: OpenOptions = {}): State {
  const { schema } = inspectState(file);
  try {
    ensurePrivate(file);
    const database = new DatabaseSync(file, { enableForeignKeyConstraints: true, timeout: busyTimeoutMs });
    try {
      useWal(database);
      // A VM that was reported as made is there after a power cut, too.
      database.exec("PRAGMA synchronous = FULL");
      if (schema > 0 && schema < migrations.length && options.backup !== false) keepCopy(database, file, schema);
      migrate(database);
    } catch (error) {
      database.close();
      throw error;
    }
    return stateOf(database, file);
  } catch (error) {
    throw fromSqlite(error, file);
  }
}

function stateOf(database: DatabaseSync, file: string): State {
  let depth = 0;
  const artifacts = (kind: "image" | "kernel") => ({
    ...unhurried(database, manifestTable(database, kind)),
    settled: () => settled(file),
  });
  return {
    vms: explained(vmTable(database), file),
    images: explained(artifacts("image"), file),
    networks: explained(networkTable(database), file),
    kernels: explained(artifacts("kernel"), file),
    operations: explained(unhurried(database, operationTable(database)), file),
    snapshots: explained(snapshotTable(database), file),
    starts: explained(unhurried(database, startTable(database)), file),
    transaction(body) {
      const name = `nested_${depth}`;
      database.exec(depth === 0 ? "BEGIN IMMEDIATE" : `SAVEPOINT ${name}`);
      depth++;
      try {
        const result = body();
        database.exec(depth === 1 ? "COMMIT" : `RELEASE ${name}`);
        return result;
      } catch (error) {
        // A full disk may have rolled back already.
        if (database.isTransaction) database.exec(depth === 1 ? "ROLLBACK" : `ROLLBACK TO ${name}; RELEASE ${name}`);
        throw error;
      } finally {
        depth--;
      }
    },
    [Symbol.dispose]: () => {
      if (database.isOpen) database.close();
    },
  };
}

/** The same table; what goes wrong with the file later (a full disk, damage) is told as at the opening. */
function explained<T extends object>(table: T, file: string): T {
  const told = Object.entries(table).map(([name, method]: [string, (...args: unknown[]) => unknown]) => [
    name,
    (...args: unknown[]) => {
      try {
        return method(...args);
      } catch (error) {
        throw fromSqlite(error, file);
      }
    },
  ]);
  return Object.fromEntries(told) as T;
}

/** 0600 from its first instant on. An existing file is never opened here: closing it would drop SQLite's locks of this process. */
function ensurePrivate(file: string): void {
  if (!existsSync(file)) closeSync(openSync(file, "a", 0o600));
  else if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600);
}

/** The change to WAL wants the file alone and does not use the busy timeout: another process may be making it just now. */
function useWal(database: DatabaseSync): void {
  const deadline = performance.now() + busyTimeoutMs;
  for (;;) {
    try {
      database.exec("PRAGMA journal_mode = WAL");
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

/** Staged and renamed: a copy that a crash cut short must not pass for a whole one. */
function keepCopy(database: DatabaseSync, file: string, schema: number): void {
  const copy = `${file}.v${schema}.bak`;
  if (existsSync(copy)) return;
  const staging = `${copy}.tmp`;
  rmSync(staging, { force: true });
  closeSync(openSync(staging, "wx", 0o600));
  database.prepare("VACUUM INTO ?").run(staging);
  renameSync(staging, copy);
}
