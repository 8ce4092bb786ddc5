// Who a guest is told to be: at Configure in a fresh one, at Thaw in one that was somebody else.
import { randomUUID } from "node:crypto";
import type { ImageRecord } from "../api/records.ts";
import type { GuestConfig, GuestIdentity } from "../guest/agent.ts";
import { toBangerError } from "../lib/errors.ts";
import { ensureClientKey } from "../ssh/client-key.ts";
import type { VmRow } from "../state/vms.ts";
import type { VmContext } from "./context.ts";
import { serials } from "./disk-files.ts";

/** Keys that may log in. Without OpenSSH's client on the host a VM starts all the same; only `vm ssh` needs the key. */
export async function authorizedKeys(
  context: Pick<VmContext, "paths">,
  options: { signal: AbortSignal },
): Promise<string[]> {
  try {
    return [(await ensureClientKey(context.paths.sshDir, options)).publicLine];
  } catch (error) {
    if (toBangerError(error).code !== "command.missing") throw error;
    return [];
  }
}

/** The VM as the guest sees itself, with a boot id that no other start has had: it belongs into the row. */
export function newIdentity(row: Pick<VmRow, "id" | "name" | "hostKeyPem">, keys: readonly string[]): GuestIdentity {
  return {
    vmId: row.id,
    hostname: row.name,
    ssh: { hostKeyPem: row.hostKeyPem, authorizedKeys: keys },
    bootId: randomUUID(),
  };
}

/** As many as the agent takes. */
const maxDirectories = 1024;

/** All that a fresh guest is given. */
export function guestConfig(
  identity: GuestIdentity,
  { config }: Pick<ImageRecord, "config">,
  { init }: Pick<VmRow, "init">,
): GuestConfig {
  return {
    ...identity,
    ...(init === null ? {} : { init }),
    disks: serials,
    environment: config.environment,
    defaultUser: config.user,
    defaultWorkdir: config.workdir,
    directories: directoriesOf(config),
  };
}

/** What an image takes for granted: docker makes its working directory, and its volumes would be mounted. */
export function directoriesOf({ workdir, volumes }: ImageRecord["config"]): string[] {
  const wanted = [workdir, ...volumes].filter((path) => path.startsWith("/") && path !== "/");
  return [...new Set(wanted)].slice(0, maxDirectories);
}
