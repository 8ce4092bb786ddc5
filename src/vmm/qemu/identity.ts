// Which process is the VMM of a VM: the mark in its command line, and the identity file that lets a later daemon find it again.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { BangerError } from "../../lib/errors.ts";
import { writeFileAtomic } from "../../lib/files.ts";
import { allPids, argumentsOf, hostBootId, isAlive } from "../../lib/process-table.ts";
import type { ProcessIdentity } from "../../lib/process-table.ts";

export const identityFileName = "vmm.json";

/** Content of vmm.json. Valid only within one boot of the host. */
export interface VmmIdentity extends ProcessIdentity {
  hostBootId: string;
  /** Value of `-name` in the command line: machineName(). */
  marker: string;
}

/** Name of a machine in its command line: `banger-<homeId>-<vmId>`. Ids of other forms are bugs. */
export function machineName(homeId: string, vmId: string): string {
  if (!/^[0-9a-z]{1,64}$/.test(homeId) || !/^[0-9a-z][0-9a-z-]{0,63}$/.test(vmId)) {
    throw new BangerError("internal", `"${homeId}" or "${vmId}" is not an id`);
  }
  return `banger-${homeId}-${vmId}`;
}

/** The machine name in the command line of a QEMU process of this user; undefined for every other process. */
export function markerOf(pid: number): string | undefined {
  const args = argumentsOf(pid);
  if (!basename(args[0] ?? "").startsWith("qemu-system-")) return undefined;
  const at = args.indexOf("-name");
  return at === -1 ? undefined : args[at + 1];
}

/** Machines of one home in the process table: VM id to pid. */
export function listMachines(homeId: string): Map<string, number> {
  const prefix = machineName(homeId, "0").slice(0, -1);
  const machines = new Map<string, number>();
  for (const pid of allPids()) {
    const marker = markerOf(pid);
    if (marker?.startsWith(prefix)) machines.set(marker.slice(prefix.length), pid);
  }
  return machines;
}

/** Writes vmm.json in one step, durable. */
export async function writeIdentity(path: string, identity: VmmIdentity): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(identity)}\n`);
}

/** The identity of a file; undefined when the file is missing or is not one. Says nothing about the process. */
export async function readIdentity(path: string): Promise<VmmIdentity | undefined> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { pid, startTicks, hostBootId: boot, marker } = value as Record<string, unknown>;
  if (!Number.isSafeInteger(pid) || (pid as number) < 2 || !Number.isSafeInteger(startTicks)) return undefined;
  if (typeof boot !== "string" || typeof marker !== "string") return undefined;
  return { pid: pid as number, startTicks: startTicks as number, hostBootId: boot, marker };
}

/** True when the process of this identity runs now: same boot of the host, same start time, and the mark of this VM in its command line. */
export function isRunning(identity: VmmIdentity, marker: string): boolean {
  return (
    identity.hostBootId === hostBootId() &&
    identity.marker === marker &&
    isAlive(identity) &&
    markerOf(identity.pid) === marker
  );
}
