// Notices that the daemon's socket was removed or replaced (its home was deleted): nobody can reach this daemon any more, and it
// would run for ever.
import { statSync, watch } from "node:fs";
import { dirname } from "node:path";

/** Calls `onGone` once when the socket at `path` is not the one that is there now. Dispose ends the watch. */
export function watchSocket(path: string, onGone: () => void): Disposable {
  const mine = inode(path);
  const watcher = watch(dirname(path), { persistent: false }, () => {
    if (inode(path) === mine) return;
    watcher.close();
    onGone();
  });
  // Without the watch (no inotify instance left) the daemon only lingers when its home is deleted.
  watcher.on("error", () => watcher.close());
  return { [Symbol.dispose]: () => watcher.close() };
}

function inode(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}
