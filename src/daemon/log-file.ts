// The daemon's log: appended to line by line, 0600, and put aside when it has grown too long: at start, and while it is written,
// because a daemon may run for months and a guest can give it reasons to write.
import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

const maxBytes = 10 * 1024 * 1024;

export interface LogFile extends Disposable {
  write(line: string): void;
}

/** Opens the log for appending. Whenever it is longer than `limitBytes` it becomes `<path>.1`; an older `.1` is lost. */
export function openLogFile(path: string, limitBytes = maxBytes): LogFile {
  let fd = openSync(path, "a", 0o600);
  let bytes = fstatSync(fd).size;
  const putAside = () => {
    // Counted anew also when this fails, so that a log that cannot be put aside is not tried at each line.
    bytes = 0;
    renameSync(path, `${path}.1`);
    const next = openSync(path, "a", 0o600);
    closeSync(fd);
    fd = next;
  };
  return {
    write(line) {
      try {
        if (bytes > limitBytes) putAside();
        bytes += writeSync(fd, line);
      } catch {
        // A full disk must not end the daemon.
      }
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}
