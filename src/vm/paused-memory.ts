// The memory of a paused VM on the disk: a directory that is there whole or not at all, and that is used once. While it is there the
// VM can go on from it; what lies beside it under another name is left over.
import { existsSync, statSync } from "node:fs";
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Paths, vmPaths } from "../config/paths.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { publish, removeInside, syncDirectory } from "../lib/files.ts";
import type { MachineCapture } from "../vmm/driver.ts";

export interface PausedMemory {
  capture: MachineCapture;
  /** What a machine must have in common with it: src/vm/fingerprint.ts. */
  fingerprint: string;
  /** When the VM was paused, milliseconds since 1970. */
  at: number;
}

function directories(paths: Paths, vmId: string) {
  const { dir, pausedDir } = vmPaths(paths, vmId);
  return { dir, whole: pausedDir, half: join(dir, "paused.new"), spent: join(dir, "paused.used") };
}

const captureIn = (directory: string): MachineCapture => ({
  memoryFile: join(directory, "memory.img"),
  stateFile: join(directory, "state.bin"),
});
const infoIn = (directory: string) => join(directory, "pause.json");

/** An empty place for a capture. The caller publishes it or gives it up with `removeLeftovers`. */
export async function stagePausedMemory(paths: Paths, vmId: string): Promise<MachineCapture> {
  const { dir, half } = directories(paths, vmId);
  await removeInside(dir, half);
  await mkdir(half, { mode: 0o700 });
  crashPoint("pause.staged");
  return captureIn(half);
}

/** Makes the staged capture, which is complete, the memory of the paused VM; durable when it resolves. */
export async function publishPausedMemory(
  paths: Paths,
  vmId: string,
  info: Pick<PausedMemory, "fingerprint" | "at">,
): Promise<void> {
  const { whole, half } = directories(paths, vmId);
  const { memoryFile, stateFile } = captureIn(half);
  await writeFile(infoIn(half), JSON.stringify(info), { mode: 0o600, flag: "wx" });
  await Promise.all([memoryFile, stateFile, infoIn(half)].map(flush));
  await syncDirectory(half);
  crashPoint("pause.flushed");
  await publish(half, whole);
}

/** The memory that the VM can go on from, or undefined when there is none that can be read. */
export async function readPausedMemory(paths: Paths, vmId: string): Promise<PausedMemory | undefined> {
  const { whole } = directories(paths, vmId);
  try {
    const { fingerprint, at } = JSON.parse(await readFile(infoIn(whole), "utf8")) as Record<string, unknown>;
    if (typeof fingerprint !== "string" || typeof at !== "number") return undefined;
    return { capture: captureIn(whole), fingerprint, at };
  } catch {
    return undefined;
  }
}

/**
 * Makes the memory unusable for any later resume; durable when it resolves. To be done before CPUs run or disks change: from then on
 * disks and memory do not belong together. Its files stay until `removeLeftovers`. False when there was none.
 */
export async function spendPausedMemory(paths: Paths, vmId: string): Promise<boolean> {
  const { dir, whole, spent } = directories(paths, vmId);
  if (!existsSync(whole)) return false;
  await removeInside(dir, spent);
  await publish(whole, spent);
  return true;
}

/** Takes `spendPausedMemory` back, also one that failed: for a machine that ended before its CPUs ran. */
export async function unspendPausedMemory(paths: Paths, vmId: string): Promise<void> {
  const { whole, spent } = directories(paths, vmId);
  if (!existsSync(whole)) await publish(spent, whole);
}

/** Whether memory was spent and its files are still there: a resume was under way. */
export function hasSpentMemory(paths: Paths, vmId: string): boolean {
  return existsSync(directories(paths, vmId).spent);
}

/** Removes halves and what was spent. Idempotent. */
export async function removeLeftovers(paths: Paths, vmId: string): Promise<void> {
  const { dir, half, spent } = directories(paths, vmId);
  await Promise.all([removeInside(dir, half), removeInside(dir, spent)]);
}

/** Bytes that the memory of the paused VM takes on the host; 0 when there is none. */
export function pausedMemoryBytes(paths: Paths, vmId: string): number {
  const { pausedDir } = vmPaths(paths, vmId);
  if (!existsSync(pausedDir)) return 0;
  const { memoryFile, stateFile } = captureIn(pausedDir);
  const blocks = [memoryFile, stateFile].map((path) => statSync(path, { throwIfNoEntry: false })?.blocks ?? 0);
  return blocks.reduce((sum, of) => sum + of * 512, 0);
}

async function flush(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
