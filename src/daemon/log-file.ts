// The daemon's log: appended to line by line, 0600, cut at start when it has grown too long.
import { closeSync, openSync, renameSync, statSync, writeSync } from "node:fs";

const maxBytes = 10 * 1024 * 1024;

export interface LogFile extends Disposable {
  write(line: string): void;
}

/** Opens the log for appending. One that is longer than 10 MiB becomes `<path>.1` first; an older `.1` is lost. */
export function openLogFile(path: string): LogFile {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > maxBytes) renameSync(path, `${path}.1`);
  const fd = openSync(path, "a", 0o600);
  return {
    write(line) {
      try {
        writeSync(fd, line);
      } catch {
        // A full disk must not end the daemon.
      }
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}
