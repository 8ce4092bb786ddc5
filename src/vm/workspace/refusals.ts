// Why a repository is not put where it was asked for: work of the guest would be lost or mixed up, or the place does not do.
import type { VmRecord } from "../../api/records.ts";
import type { GuestAgent, GuestWork } from "../../guest/agent.ts";
import { BangerError } from "../../lib/errors.ts";
import { showPath } from "../../workspace/quarantine/show-path.ts";
import type { Source } from "../../workspace/source/source.ts";
import { isDirectory } from "./sync.ts";

export const defaultGuestPath = "/root/repo";

export interface Place {
  record: VmRecord;
  guestPath: string;
  /** Of what lies there now. */
  metaPath: string;
  source: Source;
  /** As it was given. */
  path: string;
}

/**
 * Before anything is packed. Throws `workspace.changed` when the guest has work there that was not shipped to it, or when another repository
 * lies there: what is not tracked stays where it is, and would come out as this one's.
 */
export async function refuseToLose(agent: GuestAgent, place: Place, options: { signal: AbortSignal }): Promise<void> {
  const { record, guestPath, metaPath, source, path } = place;
  const { exists, work } = await agent
    .lookAtWorkspace({ path: guestPath, metaPath }, options)
    .catch((error: unknown) => Promise.reject(withWayOn(error, place, "looked")));
  if (work.count > 0 || work.refs.length > 0) throw wouldLose(record, work, path);
  const { name, workspace } = record;
  if (!exists || workspace?.guestPath !== guestPath || workspace.root === source.root) return;
  // One that was moved is the same under another name.
  if (!(await isDirectory(workspace.root))) return;
  throw new BangerError("workspace.changed", `"${guestPath}" in VM "${name}" is the workspace of "${workspace.root}"`, {
    hint: `${elsewhere(place)}  # or --force, to put it there all the same`,
  });
}

/** The agent's error with what can be done about it: `looked` when it could not make sense of what lies there. */
export function withWayOn(error: unknown, place: Place, when: "looked" | "placed"): unknown {
  if (!(error instanceof BangerError) || error.hint !== undefined || !error.code.startsWith("file.")) return error;
  const { record, path, guestPath } = place;
  const isOurs = guestPath === defaultGuestPath || record.workspace?.guestPath === guestPath;
  if (/no space left/i.test(error.message) || (isOurs && when === "placed")) return error;
  const force = `banger vm workspace prepare ${record.name} ${path} --force  # what was changed in the VM is lost`;
  return new BangerError(error.code, error.message, { cause: error.cause, hint: isOurs ? force : elsewhere(place) });
}

function elsewhere({ record, path, source }: Place): string {
  return `banger vm workspace prepare ${record.name} ${path} --guest-path /root/${source.name}`;
}

/** Says what of the guest's work is in the way. */
export function wouldLose({ name }: VmRecord, { count, paths, refs }: GuestWork, path: string): BangerError {
  const files = count === 1 ? "1 file was changed" : `${count} files were changed`;
  const what = [
    ...(count === 0
      ? []
      : [`${files} in the guest (${paths.slice(0, 3).map(showPath).join(", ")}${count > 3 ? ", …" : ""})`]),
    ...(refs.length === 0 ? [] : [`git in the guest has new or moved ${refs.slice(0, 3).join(", ")}`]),
  ];
  return new BangerError("workspace.changed", `VM "${name}" has work that would be lost: ${what.join("; ")}`, {
    hint: `banger vm workspace export ${name} -o work.patch  # to keep it, then: banger vm workspace prepare ${name} ${path} --force`,
  });
}
