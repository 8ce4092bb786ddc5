// The one place where errors of SQLite become errors of banger.
import { BangerError, diskFull, type ErrorCode } from "../lib/errors.ts";

interface SqliteError extends Error {
  code: "ERR_SQLITE_ERROR";
  /** Extended result code: the low byte is the primary one. */
  errcode: number;
}

function isSqliteError(thrown: unknown): thrown is SqliteError {
  return thrown instanceof Error && "code" in thrown && thrown.code === "ERR_SQLITE_ERROR" && "errcode" in thrown;
}

const primary = {
  busy: 5,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
  permission: 3,
  readOnly: 8,
};

export function isBusy(thrown: unknown): boolean {
  return isSqliteError(thrown) && (thrown.errcode & 0xff) === primary.busy;
}

/** A second row with a unique value (a name, an id). */
export function isDuplicate(thrown: unknown): boolean {
  return isSqliteError(thrown) && [1555, 2067].includes(thrown.errcode);
}

/** A row that refers to a missing one, or the removal of a row that another refers to. */
export function isForeignKeyBreach(thrown: unknown): boolean {
  return isSqliteError(thrown) && thrown.errcode === 787;
}

/** What the user is told when the database cannot be used. Errors that are not SQLite's, and bugs, pass through as they are. */
export function fromSqlite(thrown: unknown, file: string): unknown {
  if (!isSqliteError(thrown)) return thrown;
  switch (thrown.errcode & 0xff) {
    case primary.corrupt:
    case primary.notADatabase:
      return unreadable(file, thrown.message, thrown);
    case primary.cannotOpen:
    case primary.ioError:
    case primary.permission:
    case primary.readOnly:
      return new BangerError("state.unreadable", `the database "${file}" cannot be opened: ${thrown.message}`, {
        cause: thrown,
        hint: `ls -l ${file}`,
      });
    case primary.full:
      return diskFull(`the database "${file}" cannot grow: no space left on the disk`, thrown);
    case primary.busy:
      return new BangerError("daemon.busy", `the database "${file}" is locked by another process`, {
        cause: thrown,
        hint: "banger daemon status",
      });
    default:
      return thrown;
  }
}

/** The database is damaged. It is left as it is: moving it away is the user's decision. */
export function unreadable(file: string, why: string, cause?: unknown): BangerError {
  return new BangerError("state.unreadable", `the database "${file}" is damaged: ${why}`, {
    cause,
    hint: `mv ${file} ${file}.damaged  # starts with an empty one; or put back ${file}.v<N>.bak`,
  });
}

/** Runs `body`; a duplicate or foreign key breach becomes an error with the code and message given, which say all that there is to say. */
export function explaining<T>(
  body: () => T,
  explain: { duplicate?: [ErrorCode, string, string?]; reference?: [ErrorCode, string, string?] },
): T {
  try {
    return body();
  } catch (error) {
    const known = isDuplicate(error) ? explain.duplicate : isForeignKeyBreach(error) ? explain.reference : undefined;
    if (known === undefined) throw error;
    const [code, message, hint] = known;
    throw new BangerError(code, message, hint === undefined ? {} : { hint });
  }
}
