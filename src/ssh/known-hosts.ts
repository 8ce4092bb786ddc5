// The pin of one VM's host key: a known_hosts file in the VM's own directory, so that it goes when the VM goes.
import { join } from "node:path";
import { writeFileAtomic } from "../lib/files.ts";

/** The name under which SSH clients know a VM: it holds for the VM's life, whatever its name or address. */
export function hostAlias(vmId: string): string {
  return `banger-${vmId}`;
}

/** Writes the pin and returns the file's path. Idempotent. */
export async function writeKnownHosts(vmDir: string, vmId: string, publicLine: string): Promise<string> {
  const file = join(vmDir, "known_hosts");
  await writeFileAtomic(file, `${hostAlias(vmId)} ${publicLine}\n`);
  return file;
}
