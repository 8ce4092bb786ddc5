// Sizes and durations as people write and read them.
import { BangerError } from "./errors.ts";

export const mib = 1024 * 1024;
const factors: Record<string, number> = { "": mib, K: 1024, M: mib, G: 1024 * mib, T: 1024 * 1024 * mib };

/** Bytes of "512M", "4G", "4GiB", "512MiB", "4KiB"; a bare number means MiB. `what` names the option in the error. */
export function parseSize(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:iB|B)?)?$/i.exec(text.trim());
  const factor = factors[(match?.[2] ?? "").toUpperCase()];
  const bytes = match === null || factor === undefined ? Number.NaN : Math.round(Number(match[1]) * factor);
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new BangerError(
      "vm.spec-invalid",
      `${what} "${text}" is not a size: write for example 512M, 4G or 4GiB (a bare number means MiB)`,
    );
  }
  return bytes;
}

/** "0 B", "1.2 GiB": one decimal, binary units. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${units[unit]}`;
}

/** "340 ms", "2.1 s", "3 m 05 s", "2 h 00 m", "4 d 03 h". */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const two = (count: number) => String(count).padStart(2, "0");
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} m`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

/** "5 s ago", "2 h ago", "3 days ago", for lists. */
export function formatAge(sinceMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - sinceMs) / 1000));
  const steps: [number, string][] = [
    [86_400, "day"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  for (const [size, unit] of steps) {
    const count = Math.floor(seconds / size);
    if (count >= 1) return `${count} ${unit}${unit === "day" && count > 1 ? "s" : ""} ago`;
  }
  return "just now";
}
