// Frequency of the host's time stamp counter. Guests under TCG read the host's counter and must be told how fast it runs.
import { closeSync, constants, openSync, readFileSync, readSync } from "node:fs";

/** Kilohertz, or undefined when the host does not say. The best source first: the kernel's log, then /proc/cpuinfo. */
export function hostTscKhz(): number | undefined {
  return tscKhzOfKernelLog(readKernelLog()) ?? tscKhzOfCpuInfo(readFileSync("/proc/cpuinfo", "utf8"));
}

/** What the kernel measured: the refined value when there is one, else the first. */
export function tscKhzOfKernelLog(lines: readonly string[]): number | undefined {
  const patterns = [/tsc: Refined TSC clocksource calibration: (\d+\.\d{3}) MHz/, /tsc: Detected (\d+\.\d{3}) MHz/];
  for (const pattern of patterns) {
    const found = lines.map((line) => pattern.exec(line)?.[1]).findLast((value) => value !== undefined);
    if (found !== undefined) return Math.round(Number(found) * 1000);
  }
  return undefined;
}

/**
 * On a host whose counter has a constant rate, bogomips is twice its MHz and does not follow frequency scaling; "cpu MHz" does,
 * so it is only the last resort.
 */
export function tscKhzOfCpuInfo(text: string): number | undefined {
  const number = (name: string) => Number(new RegExp(`^${name}\\s*:\\s*(\\d+(?:\\.\\d+)?)$`, "m").exec(text)?.[1] ?? 0);
  const flags = /^flags\s*:(.*)$/m.exec(text)?.[1]?.split(" ") ?? [];
  const mhz = (flags.includes("constant_tsc") ? number("bogomips") / 2 : 0) || number("cpu MHz");
  return mhz === 0 ? undefined : Math.round(mhz * 1000);
}

/** Lines of the kernel's log; none when this user may not read it. Bounded. */
function readKernelLog(): string[] {
  const lines: string[] = [];
  let fd: number;
  try {
    fd = openSync("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return lines;
  }
  const record = Buffer.alloc(8192);
  try {
    // One read gives one record; at the end of the log it fails with EAGAIN.
    while (lines.length < 50_000) lines.push(record.toString("utf8", 0, readSync(fd, record)));
  } catch {
    return lines;
  } finally {
    closeSync(fd);
  }
  return lines;
}
