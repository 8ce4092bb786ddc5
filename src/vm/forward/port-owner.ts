// Which process of this host listens on a TCP port, as far as the user may see it.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** State of a listening socket in /proc/net/tcp. */
const listening = "0A";

/** "python3 (pid 123)"; undefined when it is another user's, or gone. Never throws. */
export function portOwner(host: string, port: number): string | undefined {
  const table = host.includes(":") ? ["/proc/net/tcp6"] : ["/proc/net/tcp", "/proc/net/tcp6"];
  const inodes = new Set(table.flatMap((file) => listenersOn(file, port)));
  if (inodes.size === 0) return undefined;
  for (const pid of entries("/proc").filter((name) => /^\d+$/.test(name))) {
    if (entries(`/proc/${pid}/fd`).some((fd) => inodes.has(target(`/proc/${pid}/fd/${fd}`)))) {
      return `${text(`/proc/${pid}/comm`).trim()} (pid ${pid})`;
    }
  }
  return undefined;
}

function listenersOn(file: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return text(file)
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([, local = "", , state, , , , , , inode]) =>
      local.endsWith(suffix) && state === listening ? [`socket:[${inode}]`] : [],
    );
}

const entries = (path: string) => quietly(() => readdirSync(path), []);
const target = (path: string) => quietly(() => readlinkSync(path), "");
const text = (path: string) => quietly(() => readFileSync(path, "utf8"), "");

/** Processes come and go, and others' are closed to us. */
function quietly<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch {
    return otherwise;
  }
}
