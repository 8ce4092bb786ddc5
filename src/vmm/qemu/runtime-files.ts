// The files in a machine's directory that belong to its process.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { socketNames } from "./arguments.ts";
import { identityFileName, readIdentity } from "./identity.ts";
import type { VmmIdentity } from "./identity.ts";

/** What QEMU itself prints: stdout and stderr. Stays after its end. */
export const vmmLogName = "vmm.log";

/** Removes sockets and identity file of a machine that is gone, unless they belong to another one. Logs stay. */
export async function removeRuntimeFiles(dir: string, identity: VmmIdentity | undefined): Promise<void> {
  const owner = await readIdentity(join(dir, identityFileName));
  if (
    owner !== undefined &&
    identity !== undefined &&
    (owner.pid !== identity.pid || owner.startTicks !== identity.startTicks)
  )
    return;
  for (const name of [...Object.values(socketNames), identityFileName]) await rm(join(dir, name), { force: true });
}
